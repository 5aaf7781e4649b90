// The router of a mixture of experts: logits, scores, the top k of them, their weights. All float32.
#ifndef KERNELS_CUDA_ROUTE_H_
#define KERNELS_CUDA_ROUTE_H_

#include <cstdint>

namespace eaq::kernels::cuda {

inline constexpr int64_t kMaxExperts = 512;

// logits[t, e] = x[t] . weight[e]. x [tokens, hidden], rows ldx apart; weight [experts, hidden] contiguous; logits
// [tokens, experts] contiguous.
// A warp makes the dot products of 1 token with 1 expert, or of 8 with 1 or 4; lanes take turns along `hidden`
// (a fixed order: the same bits in every run, whatever the other tokens are), then add up by a butterfly. Error of one
// logit: at most (hidden / 32 + 6) * 2^-24 * sum |x w|.
// Returns 0, or a CUDA error. Any shape; 16-byte loads where pointers and strides allow them.
int RouterLogits(const float* x, int64_t ldx, const float* weight, int64_t tokens, int64_t hidden, int64_t experts,
                 float* logits, void* stream);

struct RouteOptions {
  int k = 1;                 // 1 <= k <= experts, at most 32
  bool sigmoid = false;      // scores = sigmoid(logit); otherwise softmax over all experts
  bool renormalise = false;  // divide the chosen scores by their sum (if it is above 0)
  float scale = 1.0f;        // factor on every weight
  // Grouped choice (DeepSeek-V2/V3): `groups` runs of experts / groups experts each; only those of the
  // `chosen_groups` best groups can be chosen. 1 group: plain.
  int groups = 1;  // divides experts, at most 32
  int chosen_groups = 1;
  bool group_by_top2 = false;  // a group counts the sum of its two best (V3), otherwise its best (V2)
};

// Per row of logits[tokens, experts]: chosen[tokens, k] falling by score + bias (bias [experts], or null), weights
// [tokens, k]: the scores without bias, renormalised and scaled as options say. The lowest index wins a tie, also
// between groups; NaN counts as the smallest. Same rules as eaq/model/router.h. One warp a token.
// experts at most kMaxExperts. Returns 0, a CUDA error, or 1 (cudaErrorInvalidValue) for options outside their limits.
int RouteTopK(const float* logits, const float* bias, int64_t tokens, int64_t experts, const RouteOptions& options,
              int32_t* chosen, float* weights, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ROUTE_H_

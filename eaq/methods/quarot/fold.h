// The arithmetic of QuaRot on single linears, in float64: what is folded into weights, and what stays for run time.
//
//   FoldResidual(id.role, input_norm, post_norm, q, out, in, weight, bias);       // norm gain and residual rotation
//   for (const auto& [id, change] : PlanOnline(config, layer, options)) {         // the rest, linear by linear
//     ApplyChange(change, out, in, weight, bias);
//     linear.online = change.online;
//   }
#ifndef EAQ_METHODS_QUAROT_FOLD_H_
#define EAQ_METHODS_QUAROT_FOLD_H_

#include <cstdint>
#include <map>
#include <memory>

#include "absl/types/span.h"
#include "eaq/methods/quarot/rotation.h"
#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/online.h"
#include "eaq/proto/recipe.pb.h"

namespace eaq {

// weight[out, in], bias empty or [out]; the residual stream h becomes h Q, and norms lose their gains.
//   readers of the input norm (q, k, v), of the post norm (router, gate, up, shared ones, gate of the shared expert):
//     W <- W diag(gain) Q
//   writers (o, down, shared down):  W <- Q^T W,  b <- Q^T b
void FoldResidual(Role role, absl::Span<const float> input_norm, absl::Span<const float> post_norm, const Rotation& q,
                  int64_t out, int64_t in, double* weight, absl::Span<double> bias);

// What happens to one linear beside the residual rotation.
struct LinearChange {
  int64_t output_block = 0;  // v: rows of the weight (and bias) go through a Hadamard in blocks of so many; 0: not
  OnlineTransform folded;    // what the weight's columns are made for
  std::shared_ptr<const OnlineTransform> online;  // the part of it that happens at run time; null: none
};

// Linears that change. Every Hadamard has the largest order that exists and divides what it runs over.
//   down     x <- x H(width), online
//   v, o     v rows within heads: H(head_dim), offline; o's input H(heads) across heads, online; o's columns both. A
//            query head reads the values of its group, which all carry the same H(head_dim), so nothing else changes
//            with grouped queries. Where values are clipped after projection (clip_qkv) they stay, and o's input gets
//            both online.
std::map<LinearId, LinearChange> PlanOnline(const ModelConfig& config, int layer, const QuaRot& options);
// Block of the Hadamard of queries and keys; 0: none.
int64_t QueryKeyBlock(const ModelConfig& config, const QuaRot& options);

void ApplyChange(const LinearChange& change, int64_t out, int64_t in, double* weight, absl::Span<double> bias);

// The largest order <= N of a Hadamard matrix that divides N, at least 1.
int64_t LargestHadamardBlock(int64_t n);

}  // namespace eaq

#endif  // EAQ_METHODS_QUAROT_FOLD_H_

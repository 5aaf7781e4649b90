#include "kernels/cuda/rank_key.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kLogitWarps = 8;
constexpr int kTopKWarps = 4;

struct LogitArguments {
  const float* x;
  int64_t ldx;
  const float* weight;
  int64_t tokens, hidden, experts;
  float* logits;
};

// Block (i, j): tokens i * kTokens and on; its warps share out the kExperts * kLogitWarps experts from there on.
// kVector: four neighbours of a row per lane and step, otherwise one.
template <int kExperts, int kTokens, bool kVector>
__global__ void __launch_bounds__(kLogitWarps * 32) RouterLogitsKernel(LogitArguments a) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t first_token = static_cast<int64_t>(blockIdx.x) * kTokens;
  const int64_t first_expert = (static_cast<int64_t>(blockIdx.y) * kLogitWarps + warp) * kExperts;
  if (first_expert >= a.experts) return;  // the whole warp

  // Rows beyond the end repeat the last one: read again, never written.
  const float* tokens[kTokens];
  const float* experts[kExperts];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const int64_t row = first_token + t;
    tokens[t] = a.x + (row < a.tokens ? row : a.tokens - 1) * a.ldx;
  }
#pragma unroll
  for (int e = 0; e < kExperts; ++e) {
    const int64_t row = first_expert + e;
    experts[e] = a.weight + (row < a.experts ? row : a.experts - 1) * a.hidden;
  }
  float sums[kExperts][kTokens] = {};
  constexpr int kWidth = kVector ? 4 : 1;
#pragma unroll(kExperts == 1 ? 4 : 1)  // a small batch waits for its loads: several at once
  for (int64_t i = lane * kWidth; i < a.hidden; i += 32 * kWidth) {
    if constexpr (kVector) {
      float4 w[kExperts];
#pragma unroll
      for (int e = 0; e < kExperts; ++e) w[e] = *reinterpret_cast<const float4*>(experts[e] + i);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const float4 v = *reinterpret_cast<const float4*>(tokens[t] + i);
#pragma unroll
        for (int e = 0; e < kExperts; ++e) {
          float s = sums[e][t];
          s = fmaf(v.x, w[e].x, s);
          s = fmaf(v.y, w[e].y, s);
          s = fmaf(v.z, w[e].z, s);
          sums[e][t] = fmaf(v.w, w[e].w, s);
        }
      }
    } else {
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const float v = tokens[t][i];
#pragma unroll
        for (int e = 0; e < kExperts; ++e) sums[e][t] = fmaf(v, experts[e][i], sums[e][t]);
      }
    }
  }
#pragma unroll
  for (int e = 0; e < kExperts; ++e) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float s = WarpSum(sums[e][t]);
      if (lane == 0 && first_token + t < a.tokens && first_expert + e < a.experts) {
        a.logits[(first_token + t) * a.experts + first_expert + e] = s;
      }
    }
  }
}

template <int kExperts, int kTokens>
int LaunchLogits(const LogitArguments& a, bool vector, void* stream) {
  const dim3 grid(static_cast<unsigned>((a.tokens + kTokens - 1) / kTokens),
                  static_cast<unsigned>((a.experts + kExperts * kLogitWarps - 1) / (kExperts * kLogitWarps)));
  if (vector) {
    EAQ_LAUNCH((RouterLogitsKernel<kExperts, kTokens, true>), grid, kLogitWarps * 32, 0, stream, a);
  } else {
    EAQ_LAUNCH((RouterLogitsKernel<kExperts, kTokens, false>), grid, kLogitWarps * 32, 0, stream, a);
  }
  return EAQ_LAUNCH_ERROR();
}

struct TopKArguments {
  const float* logits;
  const float* bias;
  int64_t tokens;
  int experts;
  RouteOptions options;
  int32_t* chosen;
  float* weights;
};

// What a group is worth: its best score or the sum of its two best; NaN if any of its scores is.
__device__ inline float GroupScore(const float* ranked, int size, bool top2) {
  float best = -INFINITY, second = -INFINITY;
  bool nan = false;
  for (int i = 0; i < size; ++i) {
    const float v = ranked[i];
    nan = nan || v != v;
    if (v > best) {
      second = best;
      best = v;
    } else if (v > second) {
      second = v;
    }
  }
  if (nan) return NAN;
  return top2 && size > 1 ? best + second : best;
}

// One warp a token. Scores and ranks (score + bias) live in shared memory, [warp, experts] each.
__global__ void __launch_bounds__(kTopKWarps * 32) RouteTopKKernel(TopKArguments a) {
  EAQ_SHARED(float, all_scores, kTopKWarps* kMaxExperts);
  EAQ_SHARED(float, all_ranked, kTopKWarps* kMaxExperts);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kTopKWarps + warp;
  if (token >= a.tokens) return;  // the whole warp
  float* const scores = all_scores + warp * kMaxExperts;
  float* const ranked = all_ranked + warp * kMaxExperts;
  const float* const row = a.logits + token * a.experts;
  const RouteOptions& o = a.options;

  if (o.sigmoid) {
    for (int e = lane; e < a.experts; e += 32) scores[e] = 1.0f / (1.0f + expf(-row[e]));
  } else {
    float largest = -INFINITY;
    for (int e = lane; e < a.experts; e += 32) largest = row[e] > largest ? row[e] : largest;
    largest = WarpMax(largest);
    float sum = 0;
    for (int e = lane; e < a.experts; e += 32) {
      const float v = expf(row[e] - largest);
      scores[e] = v;
      sum += v;
    }
    const float inverse = 1.0f / WarpSum(sum);
    for (int e = lane; e < a.experts; e += 32) scores[e] *= inverse;
  }
  for (int e = lane; e < a.experts; e += 32) ranked[e] = a.bias == nullptr ? scores[e] : scores[e] + a.bias[e];
  __syncwarp();

  // Bit g: experts of group g may be chosen.
  unsigned open = kAll;
  const int group_size = a.experts / o.groups;
  if (o.groups > 1) {
    uint64_t key = 0;
    if (lane < o.groups) key = RankKey(GroupScore(ranked + lane * group_size, group_size, o.group_by_top2), lane);
    open = 0;
    for (int i = 0; i < o.chosen_groups; ++i) {
      const int best = IndexOfKey(WarpMax(key));
      open |= 1u << best;
      if (lane == best) key = 0;
    }
  }

  // k rounds of a warp-wide maximum. Lane i keeps round i's expert.
  unsigned taken = 0;  // bit j: this lane's j-th expert, lane + 32 j
  int mine = 0;
  for (int i = 0; i < o.k; ++i) {
    uint64_t best = 0;
    for (int e = lane, j = 0; e < a.experts; e += 32, ++j) {
      if ((taken >> j & 1u) != 0 || (open >> (e / group_size) & 1u) == 0) continue;
      const uint64_t key = RankKey(ranked[e], e);
      best = key > best ? key : best;
    }
    const int winner = IndexOfKey(WarpMax(best));
    if (winner % 32 == lane) taken |= 1u << (winner / 32);
    if (lane == i) mine = winner;
  }

  // Every lane adds up the chosen scores in the order of their ranks, as a loop over them would.
  float sum = 0;
  for (int i = 0; i < o.k; ++i) sum += scores[__shfl_sync(kAll, mine, i)];
  const float scale = o.scale / (o.renormalise && sum > 0 ? sum : 1.0f);
  if (lane < o.k) {
    a.chosen[token * o.k + lane] = mine;
    a.weights[token * o.k + lane] = scores[mine] * scale;
  }
}

bool Aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

int RouterLogits(const float* x, int64_t ldx, const float* weight, int64_t tokens, int64_t hidden, int64_t experts,
                 float* logits, void* stream) {
  if (tokens == 0 || experts == 0) return 0;
  const LogitArguments a{x, ldx, weight, tokens, hidden, experts, logits};
  const bool vector = hidden % 4 == 0 && ldx % 4 == 0 && Aligned16(x) && Aligned16(weight);
  if (tokens <= 4) return LaunchLogits<1, 1>(a, vector, stream);
  return tokens <= 128 ? LaunchLogits<1, 8>(a, vector, stream) : LaunchLogits<4, 8>(a, vector, stream);
}

int RouteTopK(const float* logits, const float* bias, int64_t tokens, int64_t experts, const RouteOptions& options,
              int32_t* chosen, float* weights, void* stream) {
  const RouteOptions& o = options;
  if (experts < 1 || experts > kMaxExperts || o.k < 1 || o.k > 32 || o.groups < 1 || o.groups > 32 ||
      experts % o.groups != 0 || o.chosen_groups < 1 || o.chosen_groups > o.groups ||
      o.k > experts / o.groups * o.chosen_groups) {
    return kInvalidValue;
  }
  if (tokens == 0) return 0;
  const TopKArguments a{logits, bias, tokens, static_cast<int>(experts), options, chosen, weights};
  EAQ_LAUNCH(RouteTopKKernel, static_cast<unsigned>((tokens + kTopKWarps - 1) / kTopKWarps), kTopKWarps * 32, 0, stream,
             a);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda

#include "kernels/cuda/drop_experts.h"
#include "kernels/cuda/exact_math.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    DropExpertsKernel(float* weights, const int32_t* chosen, int64_t tokens, int64_t k, float ratio,
                      const int32_t* keep, int32_t* sent) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (token >= tokens) return;
  float* const row = weights + token * k;
  if (keep == nullptr || keep[token] == 0) {
    const float least = Mul(ratio, row[0]);
    float all = row[0], left = row[0];
    for (int64_t i = 1; i < k; ++i) {
      const float weight = row[i];
      all = Add(all, weight);
      if (weight < least) {
        row[i] = 0.0f;
      } else {
        left = Add(left, weight);
      }
    }
    if (left != all && left > 0) {
      const float grow = all / left;
      for (int64_t i = 0; i < k; ++i) row[i] = Mul(row[i], grow);
    }
  }
  for (int64_t i = 0; i < k; ++i) sent[token * k + i] = row[i] == 0.0f ? -1 : chosen[token * k + i];
}

}  // namespace

int DropExperts(float* weights, const int32_t* chosen, int64_t tokens, int64_t k, float ratio, const int32_t* keep,
                int32_t* sent, void* stream) {
  if (k < 1 || tokens < 0 || tokens >= (int64_t{1} << 31)) return kInvalidValue;
  if (tokens == 0) return 0;
  EAQ_LAUNCH(DropExpertsKernel, static_cast<unsigned>((tokens + kThreads - 1) / kThreads), kThreads, 0, stream, weights,
             chosen, tokens, k, ratio, keep, sent);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda

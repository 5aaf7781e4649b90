#include "kernels/cuda/combine.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kThreads = 256;

struct Arguments {
  const float* x;
  int64_t ldx;
  const int32_t* slot_of_pair;
  int64_t k, hidden;
  bool add;
  float* out;
  int64_t ldo;
};

// Grid (tokens, pieces of a row). kVector: four neighbours a thread.
template <bool kVector>
__global__ void __launch_bounds__(kThreads) CombineKernel(Arguments a) {
  constexpr int kWidth = kVector ? 4 : 1;
  const int64_t token = blockIdx.x;
  const int64_t i = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  if (i >= a.hidden) return;
  const int32_t* const slots = a.slot_of_pair + token * a.k;
  float* const out = a.out + token * a.ldo + i;
  if constexpr (kVector) {
    float4 sum = make_float4(0, 0, 0, 0);
    if (a.add) sum = *reinterpret_cast<const float4*>(out);
#pragma unroll 4
    for (int64_t j = 0; j < a.k; ++j) {
      if (slots[j] < 0) continue;
      const float4 v = *reinterpret_cast<const float4*>(a.x + slots[j] * a.ldx + i);
      sum.x += v.x;
      sum.y += v.y;
      sum.z += v.z;
      sum.w += v.w;
    }
    *reinterpret_cast<float4*>(out) = sum;
  } else {
    float sum = a.add ? *out : 0.0f;
    for (int64_t j = 0; j < a.k; ++j) {
      if (slots[j] >= 0) sum += a.x[slots[j] * a.ldx + i];
    }
    *out = sum;
  }
}

bool Aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

int CombineExperts(const float* x, int64_t ldx, const int32_t* slot_of_pair, int64_t tokens, int64_t k, int64_t hidden,
                   bool add, float* out, int64_t ldo, void* stream) {
  if (k < 1 || tokens < 0 || tokens >= (int64_t{1} << 31) || hidden < 0) return kInvalidValue;
  if (tokens == 0 || hidden == 0) return 0;
  const Arguments a{x, ldx, slot_of_pair, k, hidden, add, out, ldo};
  const bool vector = hidden % 4 == 0 && ldx % 4 == 0 && ldo % 4 == 0 && Aligned16(x) && Aligned16(out);
  const int64_t piece = kThreads * (vector ? 4 : 1);
  const dim3 grid(static_cast<unsigned>(tokens), static_cast<unsigned>((hidden + piece - 1) / piece));
  if (vector) {
    EAQ_LAUNCH(CombineKernel<true>, grid, kThreads, 0, stream, a);
  } else {
    EAQ_LAUNCH(CombineKernel<false>, grid, kThreads, 0, stream, a);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda

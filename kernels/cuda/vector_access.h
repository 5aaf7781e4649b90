// Loads and stores of 4 consecutive numbers (16 bytes of float, 8 of bf16) or of one, chosen at compile time.
#ifndef KERNELS_CUDA_VECTOR_ACCESS_H_
#define KERNELS_CUDA_VECTOR_ACCESS_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

template <int kWidth>
struct Vector {
  float v[kWidth];
};

__device__ inline void Load(const float* from, Vector<1>* to) { to->v[0] = *from; }
__device__ inline void Load(const float* from, Vector<4>* to) {
  const float4 x = *reinterpret_cast<const float4*>(from);
  to->v[0] = x.x, to->v[1] = x.y, to->v[2] = x.z, to->v[3] = x.w;
}
__device__ inline void Load(const Bf16* from, Vector<1>* to) { to->v[0] = ToFloat(*from); }
__device__ inline void Load(const Bf16* from, Vector<4>* to) {
  const uint2 x = *reinterpret_cast<const uint2*>(from);
  to->v[0] = __uint_as_float(x.x << 16), to->v[1] = __uint_as_float(x.x & 0xffff0000u);
  to->v[2] = __uint_as_float(x.y << 16), to->v[3] = __uint_as_float(x.y & 0xffff0000u);
}

__device__ inline void Store(const Vector<1>& from, float* to) { *to = from.v[0]; }
__device__ inline void Store(const Vector<4>& from, float* to) {
  float4 x;
  x.x = from.v[0], x.y = from.v[1], x.z = from.v[2], x.w = from.v[3];
  *reinterpret_cast<float4*>(to) = x;
}
__device__ inline void Store(const Vector<1>& from, Bf16* to) { *to = ToBf16(from.v[0]); }
__device__ inline void Store(const Vector<4>& from, Bf16* to) {
  uint2 x;
  x.x = PackBf16(from.v[0], from.v[1]), x.y = PackBf16(from.v[2], from.v[3]);
  *reinterpret_cast<uint2*>(to) = x;
}

// Whether rows of T at `pointer`, `stride` elements apart, can be read four elements at a time.
template <typename T>
inline bool FourAligned(const T* pointer, int64_t stride) {
  return reinterpret_cast<uintptr_t>(pointer) % (4 * sizeof(T)) == 0 && stride % 4 == 0;
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_VECTOR_ACCESS_H_

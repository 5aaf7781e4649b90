// Device code of attention_decode.h: a block's split, over where keys and values come from, and the merge of splits.
#ifndef KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_
#define KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_

#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

inline constexpr int kDecodeThreads = 128;
inline constexpr int kSplit = static_cast<int>(kDecodeSplit);
inline constexpr int kAhead = 4;  // keys of a subgroup whose loads are on their way at once
inline constexpr float kLowestSum = -1e38f;
inline constexpr int kStatistics = 2;  // behind the head_dim sums of a partial result: its maximum and its total

// 16 bytes of T as floats.
template <typename T>
struct Chunk;
template <>
struct Chunk<Bf16> {
  static constexpr int kCount = 8;
  __device__ static void Unpack(const uint4& raw, float (&v)[8]) {
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      v[2 * i] = __uint_as_float(words[i] << 16);
      v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  }
};
template <>
struct Chunk<float> {
  static constexpr int kCount = 4;
  __device__ static void Unpack(const uint4& raw, float (&v)[4]) {
    v[0] = __uint_as_float(raw.x), v[1] = __uint_as_float(raw.y);
    v[2] = __uint_as_float(raw.z), v[3] = __uint_as_float(raw.w);
  }
};

// exp(x) as accurate as inputs of type T deserve: 2^-21 for bf16, FastExp's 2e-7 for float.
template <typename T>
__device__ inline float Exponential(float x) {
  return sizeof(T) == 2 ? ptx::Exp2(x * 1.44269504088896341f) : FastExp(x);
}

__device__ inline void StoreOne(float* to, float value) { *to = value; }
__device__ inline void StoreOne(Bf16* to, float value) { *to = ToBf16(value); }

// A key or a value at once: what LoadKey brings, as kCount floats of lane `lane`.
template <typename T, int kDim>
class PlainRows {
 public:
  static constexpr int kCount = Chunk<T>::kCount;
  using Raw = uint4;

  __device__ inline PlainRows(const T* k, int64_t ldk, const T* v, int64_t ldv) : k_(k), v_(v), ldk_(ldk), ldv_(ldv) {}
  __device__ inline void Start(int64_t row, int kv_head, int lane) {
    const int64_t column = static_cast<int64_t>(kv_head) * kDim + lane * kCount;
    k_ += row * ldk_ + column;
    v_ += row * ldv_ + column;
  }
  __device__ inline Raw LoadKey(int64_t at) const { return ptx::LoadGlobalOnce16(k_ + at * ldk_); }
  __device__ inline Raw LoadValue(int64_t at) const { return ptx::LoadGlobalOnce16(v_ + at * ldv_); }
  __device__ static inline void Unpack(const Raw& raw, float (&v)[kCount]) { Chunk<T>::Unpack(raw, v); }

 private:
  const T *k_, *v_;
  int64_t ldk_, ldv_;
};

// One split of one sequence for kGroup query heads of one key/value head: unnormalised sums, maximum and total.
// ROWS: of its keys and values (PlainRows).
template <typename T, int kDim, int kGroup, typename Rows>
__device__ __forceinline__ void AttendSplit(const AttentionBatch& b, const T* q, int64_t ldq, Rows rows,
                                            float* workspace) {
  constexpr int kCount = Rows::kCount, kLanes = kDim / kCount, kSubgroups = kDecodeThreads / kLanes;
  EAQ_SHARED(float, shared_sums, kSubgroups* kGroup* kDim);
  EAQ_SHARED(float, shared_largest, kSubgroups* kGroup);
  EAQ_SHARED(float, shared_total, kSubgroups* kGroup);

  const int split = blockIdx.x, sequence = blockIdx.z, first_head = blockIdx.y * kGroup;
  const int kv_head = first_head / static_cast<int>(b.heads / b.kv_heads);
  const int count = b.key_count[sequence], window = static_cast<int>(b.window);
  const int low = window > 0 && count > window ? count - window : 0;
  const int begin = split * kSplit > low ? split * kSplit : low;
  const int end = (split + 1) * kSplit < count ? (split + 1) * kSplit : count;
  if (begin >= end) return;  // the merge does not look at it either
  const int lane = threadIdx.x % kLanes, subgroup = threadIdx.x / kLanes;

  float query[kGroup][kCount];
#pragma unroll
  for (int g = 0; g < kGroup; ++g) {
    constexpr int kPart = Chunk<T>::kCount;
#pragma unroll
    for (int i = 0; i < kCount; i += kPart) {
      float part[kPart];
      Chunk<T>::Unpack(
          ptx::LoadGlobal16(q + sequence * ldq + (first_head + g) * static_cast<int64_t>(kDim) + lane * kCount + i),
          part);
#pragma unroll
      for (int j = 0; j < kPart; ++j) query[g][i + j] = part[j] * b.scale;
    }
  }
  rows.Start(b.key_begin[sequence], kv_head, lane);

  float sums[kGroup][kCount] = {}, largest[kGroup], total[kGroup];
#pragma unroll
  for (int g = 0; g < kGroup; ++g) largest[g] = kLowestSum, total[g] = 0;

  // The bounds are the same for the whole block: all lanes meet at the shuffles.
  for (int base = begin; base < end; base += kSubgroups * kAhead) {
    typename Rows::Raw keys[kAhead], values[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int key = base + a * kSubgroups + subgroup;
      const int64_t at = key < end ? key : end - 1;  // a key that is there; its share becomes 0
      keys[a] = rows.LoadKey(at);
      values[a] = rows.LoadValue(at);
    }
    float p[kGroup][kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      float key[kCount];
      Rows::Unpack(keys[a], key);
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < kCount; ++i) dot = fmaf(query[g][i], key[i], dot);
        p[g][a] = WarpSum<kLanes>(dot);
      }
    }
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
      float now = largest[g];
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        if (base + a * kSubgroups + subgroup < end && p[g][a] > now) now = p[g][a];
      }
      const float shrink = largest[g] == kLowestSum ? 0.0f : Exponential<T>(largest[g] - now);
      largest[g] = now;
      total[g] *= shrink;
#pragma unroll
      for (int i = 0; i < kCount; ++i) sums[g][i] *= shrink;
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        p[g][a] = base + a * kSubgroups + subgroup < end ? Exponential<T>(p[g][a] - now) : 0.0f;
        total[g] += p[g][a];
      }
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      float value[kCount];
      Rows::Unpack(values[a], value);
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
#pragma unroll
        for (int i = 0; i < kCount; ++i) sums[g][i] = fmaf(p[g][a], value[i], sums[g][i]);
      }
    }
  }

#pragma unroll
  for (int g = 0; g < kGroup; ++g) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) shared_sums[(subgroup * kGroup + g) * kDim + lane * kCount + i] = sums[g][i];
    if (lane == 0) {
      shared_largest[subgroup * kGroup + g] = largest[g];
      shared_total[subgroup * kGroup + g] = total[g];
    }
  }
  __syncthreads();
  for (int at = threadIdx.x; at < kGroup * kDim; at += kDecodeThreads) {
    const int g = at / kDim, d = at % kDim;
    float top = kLowestSum;
    for (int s = 0; s < kSubgroups; ++s) top = fmaxf(top, shared_largest[s * kGroup + g]);
    float sum = 0, all = 0;
    for (int s = 0; s < kSubgroups; ++s) {
      const float of = shared_largest[s * kGroup + g];
      const float weight = of == kLowestSum ? 0.0f : FastExp(of - top);  // a subgroup without keys has 0 of both
      sum = fmaf(weight, shared_sums[(s * kGroup + g) * kDim + d], sum);
      all = fmaf(weight, shared_total[s * kGroup + g], all);
    }
    float* to = workspace + ((static_cast<int64_t>(sequence) * b.heads + first_head + g) * gridDim.x + split) *
                                (kDim + kStatistics);
    to[d] = sum;
    if (d == 0) to[kDim] = top, to[kDim + 1] = all;
  }
}

// One block per (head, sequence), one thread per column: the splits in order.
template <int kDim, typename Out>
__device__ __forceinline__ void MergeSplits(const AttentionBatch& b, const float* workspace, int splits, Out* out,
                                            int64_t ldo) {
  const int head = blockIdx.x, sequence = blockIdx.y, d = threadIdx.x;
  const int count = b.key_count[sequence], window = static_cast<int>(b.window);
  const int low = window > 0 && count > window ? count - window : 0;
  int last = (count + kSplit - 1) / kSplit;
  last = last < splits ? last : splits;
  const float* from = workspace + (static_cast<int64_t>(sequence) * b.heads + head) * splits * (kDim + kStatistics);
  float top = kLowestSum;
  for (int s = low / kSplit; s < last; ++s) top = fmaxf(top, from[s * (kDim + kStatistics) + kDim]);
  float sum = 0, all = 0;
  for (int s = low / kSplit; s < last; ++s) {
    const float* part = from + s * (kDim + kStatistics);
    const float weight = FastExp(part[kDim] - top);
    sum = fmaf(weight, part[d], sum);
    all = fmaf(weight, part[kDim + 1], all);
  }
  StoreOne(out + sequence * ldo + static_cast<int64_t>(head) * kDim + d, count > 0 ? sum / all : NAN);
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ATTENTION_DECODE_KERNEL_H_

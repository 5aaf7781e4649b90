#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kSplit = static_cast<int>(kDecodeSplit);
constexpr int kAhead = 4;  // keys of a subgroup whose loads are on their way at once
constexpr float kLowest = -1e38f;
constexpr int kStatistics = 2;  // behind the head_dim sums of a partial result: its maximum and its total

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

// One split of one sequence for kGroup query heads of one key/value head: unnormalised sums, maximum and total.
template <typename T, int kDim, int kGroup>
__global__ void __launch_bounds__(kThreads) DecodeSplitKernel(AttentionBatch b, const T* q, int64_t ldq, const T* k,
                                                              int64_t ldk, const T* v, int64_t ldv, float* workspace) {
  constexpr int kCount = Chunk<T>::kCount, kLanes = kDim / kCount, kSubgroups = kThreads / kLanes;
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
    Chunk<T>::Unpack(
        ptx::LoadGlobal16(q + sequence * ldq + (first_head + g) * static_cast<int64_t>(kDim) + lane * kCount),
        query[g]);
#pragma unroll
    for (int i = 0; i < kCount; ++i) query[g][i] *= b.scale;
  }
  const int64_t row = b.key_begin[sequence], column = static_cast<int64_t>(kv_head) * kDim + lane * kCount;
  k += row * ldk + column;
  v += row * ldv + column;

  float sums[kGroup][kCount] = {}, largest[kGroup], total[kGroup];
#pragma unroll
  for (int g = 0; g < kGroup; ++g) largest[g] = kLowest, total[g] = 0;

  // The bounds are the same for the whole block: all lanes meet at the shuffles.
  for (int base = begin; base < end; base += kSubgroups * kAhead) {
    uint4 keys[kAhead], values[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int key = base + a * kSubgroups + subgroup;
      const int64_t at = key < end ? key : end - 1;  // a key that is there; its share becomes 0
      keys[a] = ptx::LoadGlobalOnce16(k + at * ldk);
      values[a] = ptx::LoadGlobalOnce16(v + at * ldv);
    }
    float p[kGroup][kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      float key[kCount];
      Chunk<T>::Unpack(keys[a], key);
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
      const float shrink = largest[g] == kLowest ? 0.0f : Exponential<T>(largest[g] - now);
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
      Chunk<T>::Unpack(values[a], value);
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
  for (int at = threadIdx.x; at < kGroup * kDim; at += kThreads) {
    const int g = at / kDim, d = at % kDim;
    float top = kLowest;
    for (int s = 0; s < kSubgroups; ++s) top = fmaxf(top, shared_largest[s * kGroup + g]);
    float sum = 0, all = 0;
    for (int s = 0; s < kSubgroups; ++s) {
      const float of = shared_largest[s * kGroup + g];
      const float weight = of == kLowest ? 0.0f : FastExp(of - top);  // a subgroup without keys has 0 of both
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
__global__ void __launch_bounds__(kDim)
    DecodeMergeKernel(AttentionBatch b, const float* workspace, int splits, Out* out, int64_t ldo) {
  const int head = blockIdx.x, sequence = blockIdx.y, d = threadIdx.x;
  const int count = b.key_count[sequence], window = static_cast<int>(b.window);
  const int low = window > 0 && count > window ? count - window : 0;
  int last = (count + kSplit - 1) / kSplit;
  last = last < splits ? last : splits;
  const float* from = workspace + (static_cast<int64_t>(sequence) * b.heads + head) * splits * (kDim + kStatistics);
  float top = kLowest;
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

template <typename T, int kDim, int kGroup>
void LaunchSplits(const AttentionBatch& b, const T* q, int64_t ldq, const T* k, int64_t ldk, const T* v, int64_t ldv,
                  float* workspace, int64_t splits, void* stream) {
  const dim3 grid(static_cast<unsigned>(splits), static_cast<unsigned>(b.heads / kGroup),
                  static_cast<unsigned>(b.sequences));
  EAQ_LAUNCH((DecodeSplitKernel<T, kDim, kGroup>), grid, kThreads, 0, stream, b, q, ldq, k, ldk, v, ldv, workspace);
}

template <typename T, int kDim, typename Out>
int Launch(const AttentionBatch& b, const T* q, int64_t ldq, const T* k, int64_t ldk, const T* v, int64_t ldv,
           float* workspace, Out* out, int64_t ldo, void* stream) {
  const int64_t splits = (b.max_keys + kDecodeSplit - 1) / kDecodeSplit, group = b.heads / b.kv_heads;
  if (splits > 0) {
    if (group % 4 == 0) {
      LaunchSplits<T, kDim, 4>(b, q, ldq, k, ldk, v, ldv, workspace, splits, stream);
    } else if (group % 2 == 0) {
      LaunchSplits<T, kDim, 2>(b, q, ldq, k, ldk, v, ldv, workspace, splits, stream);
    } else {
      LaunchSplits<T, kDim, 1>(b, q, ldq, k, ldk, v, ldv, workspace, splits, stream);
    }
    const int error = EAQ_LAUNCH_ERROR();
    if (error != 0) return error;
  }
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>(b.sequences), 1);
  EAQ_LAUNCH((DecodeMergeKernel<kDim, Out>), grid, kDim, 0, stream, b, workspace, static_cast<int>(splits), out, ldo);
  return EAQ_LAUNCH_ERROR();
}

template <typename T, typename Out>
int Dispatch(const AttentionBatch& b, const T* q, int64_t ldq, const T* k, int64_t ldk, const T* v, int64_t ldv,
             float* workspace, Out* out, int64_t ldo, void* stream) {
  if (!ValidAttention(b) || !ValidRows(q, ldq, b.heads * b.head_dim, 16) ||
      !ValidRows(k, ldk, b.kv_heads * b.head_dim, 16) || !ValidRows(v, ldv, b.kv_heads * b.head_dim, 16) ||
      !ValidRows(out, ldo, b.heads * b.head_dim, sizeof(Out)))
    return 1;
  if (b.sequences == 0) return 0;
  switch (b.head_dim) {
    case 32:
      return Launch<T, 32>(b, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
    case 64:
      return Launch<T, 64>(b, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
    default:
      return Launch<T, 128>(b, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
  }
}

}  // namespace

int64_t DecodeWorkspace(const AttentionBatch& b) {
  return b.sequences * b.heads * ((b.max_keys + kDecodeSplit - 1) / kDecodeSplit) * (b.head_dim + kStatistics);
}

int AttentionDecode(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, float* workspace, Bf16* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
}
int AttentionDecode(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const Bf16* k, int64_t ldk, const Bf16* v,
                    int64_t ldv, float* workspace, float* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
}
int AttentionDecode(const AttentionBatch& batch, const float* q, int64_t ldq, const float* k, int64_t ldk,
                    const float* v, int64_t ldv, float* workspace, float* out, int64_t ldo, void* stream) {
  return Dispatch(batch, q, ldq, k, ldk, v, ldv, workspace, out, ldo, stream);
}

}  // namespace eaq::kernels::cuda

// The attention kernels over keys and values held as codes (attention_kv.h), and what makes them.
#include <type_traits>

#include "kernels/cuda/attention_decode_kernel.h"
#include "kernels/cuda/attention_float_kernel.h"
#include "kernels/cuda/attention_kernel.h"
#include "kernels/cuda/attention_kv.h"
#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/row_grid.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kQuantizeThreads = 256;

// kDim / 4 lanes a head, four columns each.
template <int kDim>
__global__ void __launch_bounds__(kQuantizeThreads)
    QuantizeKvKernel(const float* x, int64_t ldx, int64_t rows, int64_t kv_heads, RowQuantizer q, KvCodes kv) {
  constexpr int kLanes = kDim / 4;
  const int64_t index = (static_cast<int64_t>(blockIdx.x) * kQuantizeThreads + threadIdx.x) / kLanes;
  const int lane = threadIdx.x % kLanes;
  const bool exists = index < rows * kv_heads;  // for all lanes of a head; they must meet the shuffles all the same
  const int64_t row = exists ? index / kv_heads : 0, head = exists ? index % kv_heads : 0;
  const float4 four = *reinterpret_cast<const float4*>(x + row * ldx + head * kDim + lane * 4);
  const float v[4] = {four.x, four.y, four.z, four.w};
  RowRange range = {0, 0, false};
  int broken = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    range.low = v[j] < range.low ? v[j] : range.low;
    range.high = v[j] > range.high ? v[j] : range.high;
    broken = v[j] != v[j] ? 1 : broken;
  }
  range.low = WarpMin<kLanes>(range.low);
  range.high = WarpMax<kLanes>(range.high);
  range.broken = WarpMax<kLanes>(broken) != 0;
  const RowGridParams grid = GridOfRow(q, range);
  if (!exists) return;
  const float last = static_cast<float>((1 << q.bits) - 1);
  uint32_t codes = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    float code = rintf(v[j] / grid.scale) + grid.zero;
    code = code > 0.0f ? code : 0.0f;  // also NaN
    code = code < last ? code : last;
    codes |= static_cast<uint32_t>(code) << (j * kv.bits);
  }
  uint8_t* const to = kv.codes + row * kv.ld + (head * kDim + lane * 4) * kv.bits / 8;
  if (kv.bits == 8) {
    *reinterpret_cast<uint32_t*>(to) = codes;
  } else {
    *reinterpret_cast<uint16_t*>(to) = static_cast<uint16_t>(codes);
  }
  if (lane == 0) {
    float2 pair;
    pair.x = grid.scale, pair.y = grid.zero;
    *reinterpret_cast<float2*>(kv.grids + index * 2) = pair;
  }
}

// Eight codes that lie together: a word of 4 bits each, or two words of 8.
template <int kBits>
struct Eight {
  uint32_t words[kBits / 4];
  __device__ inline int At(int i) const {
    return static_cast<int>(words[i * kBits / 32] >> (i * kBits % 32)) & ((1 << kBits) - 1);
  }
};
__device__ inline Eight<4> LoadEight(const uint8_t* from, Eight<4>*) {
  return {{*reinterpret_cast<const uint32_t*>(from)}};
}
__device__ inline Eight<8> LoadEight(const uint8_t* from, Eight<8>*) {
  const uint2 words = *reinterpret_cast<const uint2*>(from);
  return {{words.x, words.y}};
}
__device__ inline Eight<4> SharedEight(const uint8_t* from, Eight<4>*) {
  return {{ptx::LoadShared(reinterpret_cast<const uint32_t*>(from))}};
}
__device__ inline Eight<8> SharedEight(const uint8_t* from, Eight<8>*) {
  const uint2 words = ptx::LoadShared(reinterpret_cast<const uint2*>(from));
  return {{words.x, words.y}};
}

// Keys or values of one head from some row on.
template <int kDim, int kBits>
struct CodeRows {
  static constexpr int kRowBytes = kDim * kBits / 8;
  const uint8_t* codes;
  int64_t ld;
  const float2* grids;
  int64_t heads;  // from grid to grid

  __device__ inline CodeRows(const KvCodes& kv, int64_t kv_heads)
      : codes(kv.codes), ld(kv.ld), grids(reinterpret_cast<const float2*>(kv.grids)), heads(kv_heads) {}
  __device__ inline void Move(int64_t rows, int kv_head) {
    codes += rows * ld + static_cast<int64_t>(kv_head) * kRowBytes;
    grids += rows * heads + kv_head;
  }
  __device__ inline Eight<kBits> Load(int64_t row, int chunk) const {
    return LoadEight(codes + row * ld + chunk * kBits, static_cast<Eight<kBits>*>(nullptr));
  }
};

template <int kBits>
__device__ inline void Numbers(const Eight<kBits>& codes, float2 grid, float (&v)[8]) {
  const int zero = static_cast<int>(grid.y);
#pragma unroll
  for (int i = 0; i < 8; ++i) v[i] = Mul(grid.x, static_cast<float>(codes.At(i) - zero));
}

// ---- bf16 prefill
// Bytes behind the tiles of q, k and v: raw codes and grids of a tile, of keys and of values.
template <int kDim, int kBits>
constexpr int RawBytes() {
  return 2 * kPrefillKeys * (kDim * kBits / 8 + static_cast<int>(sizeof(float2)));
}

template <int kDim, int kBits>
class CodeTiles {
 public:
  static constexpr bool kCodes = true;

  __device__ inline CodeTiles(const KvCodes& k, const KvCodes& v, int64_t kv_heads, Bf16* behind_tiles)
      : k_(k, kv_heads), v_(v, kv_heads) {
    k_grids_ = reinterpret_cast<float2*>(behind_tiles);
    v_grids_ = k_grids_ + kPrefillKeys;
    k_raw_ = reinterpret_cast<uint8_t*>(v_grids_ + kPrefillKeys);
    v_raw_ = k_raw_ + kPrefillKeys * Rows::kRowBytes;
  }
  __device__ inline void Start(int64_t row, int kv_head) {
    k_.Move(row, kv_head);
    v_.Move(row, kv_head);
  }
  __device__ inline void CopyKeys(int valid, Bf16*) { Copy(valid, k_, k_raw_, k_grids_); }
  __device__ inline void CopyValues(int valid, Bf16*) { Copy(valid, v_, v_raw_, v_grids_); }
  __device__ inline void ExpandKeys(Bf16* tile) const { Expand(k_raw_, k_grids_, tile); }
  __device__ inline void ExpandValues(Bf16* tile) const { Expand(v_raw_, v_grids_, tile); }
  // Of columns COLUMN (even) and the next.
  __device__ inline float2 KeyScales(int column) const { return Scales(k_grids_ + column); }
  __device__ inline float2 ValueScales(int column) const { return Scales(v_grids_ + column); }

 private:
  using Rows = CodeRows<kDim, kBits>;

  __device__ static inline float2 Scales(const float2* grids) {
    const float4 two = ptx::LoadShared(reinterpret_cast<const float4*>(grids));
    float2 scales;
    scales.x = two.x, scales.y = two.z;
    return scales;
  }
  // Rows that are not there become code 0 on a grid of zeros.
  __device__ static inline void Copy(int valid, Rows& from, uint8_t* raw, float2* grids) {
    constexpr int kChunks = Rows::kRowBytes / 16;
    for (int i = threadIdx.x; i < kPrefillKeys * kChunks; i += kPrefillThreads) {
      const int row = i / kChunks, chunk = i % kChunks;
      const bool there = row < valid;
      ptx::CopyAsync16(raw + row * Rows::kRowBytes + chunk * 16, from.codes + (there ? row * from.ld : 0) + chunk * 16,
                       there);
    }
    if (threadIdx.x < kPrefillKeys) {
      const int row = threadIdx.x;
      float2 grid;
      grid.x = 0, grid.y = 0;
      if (row < valid) grid = from.grids[row * from.heads];
      grids[row] = grid;
    }
    from.Move(kPrefillKeys, 0);
  }
  // code - zero, at most 255 in magnitude: exact.
  __device__ static inline void Expand(const uint8_t* raw, const float2* grids, Bf16* tile) {
#pragma unroll
    for (int i = 0; i < kPrefillKeys * kDim / 8 / kPrefillThreads; ++i) {
      const int row = ThreadRow<kDim>() + i * (kPrefillThreads / (kDim / 8)), chunk = ThreadChunk<kDim>();
      const Eight<kBits> codes =
          SharedEight(raw + row * Rows::kRowBytes + chunk * kBits, static_cast<Eight<kBits>*>(nullptr));
      const int zero = static_cast<int>(grids[row].y);
      uint32_t words[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        words[j] = PackBf16(static_cast<float>(codes.At(2 * j) - zero), static_cast<float>(codes.At(2 * j + 1) - zero));
      }
      ptx::StoreShared(reinterpret_cast<uint4*>(tile + Swizzled<kDim>(row, chunk)),
                       make_uint4(words[0], words[1], words[2], words[3]));
    }
  }

  Rows k_, v_;
  uint8_t *k_raw_, *v_raw_;
  float2 *k_grids_, *v_grids_;
};

// Tiles of 16 queries a warp: what the registers hold.
template <int kDim>
constexpr int RowTiles() {
  return kDim == 128 ? 1 : 2;
}
template <int kDim>
constexpr int TileElements() {
  return (RowTiles<kDim>() * 64 + 2 * kPrefillKeys) * kDim;
}

template <int kDim, int kBits>
__global__ void __launch_bounds__(kPrefillThreads, 2)
    AttentionKvKernel(AttentionBatch b, const Bf16* q, int64_t ldq, KvCodes k, KvCodes v, float* out, int64_t ldo) {
  EAQ_DYNAMIC_SHARED(Bf16, shared);
  CodeTiles<kDim, kBits> tiles(k, v, b.kv_heads, shared + TileElements<kDim>());
  AttendBlock<kDim, RowTiles<kDim>()>(b, q, ldq, tiles, shared, out, ldo);
}

template <int kDim, int kBits>
void Launch(const AttentionBatch& b, const Bf16* q, int64_t ldq, const KvCodes& k, const KvCodes& v, float* out,
            int64_t ldo, void* stream) {
  constexpr int64_t kRows = RowTiles<kDim>() * 64;
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>((b.max_queries + kRows - 1) / kRows),
                  static_cast<unsigned>(b.sequences));
  constexpr int kBytes = TileElements<kDim>() * static_cast<int>(sizeof(Bf16)) + RawBytes<kDim, kBits>();
  EAQ_LAUNCH((AttentionKvKernel<kDim, kBits>), grid, kPrefillThreads, kBytes, stream, b, q, ldq, k, v, out, ldo);
}

// ---- float prefill
template <int kDim, int kBits>
class FloatCodeRows {
 public:
  __device__ inline FloatCodeRows(const KvCodes& k, const KvCodes& v, int64_t kv_heads)
      : k_(k, kv_heads), v_(v, kv_heads) {}
  __device__ inline void Start(int64_t row, int kv_head) {
    k_.Move(row, kv_head);
    v_.Move(row, kv_head);
  }
  __device__ inline void Copy(int key, int valid, float* k_tile, float* v_tile) const {
    Expand(k_, key, valid, FloatTiles<kDim>::kPadded, k_tile);
    Expand(v_, key, valid, kDim, v_tile);
  }

 private:
  __device__ static inline void Expand(const CodeRows<kDim, kBits>& from, int key, int valid, int stride, float* tile) {
    for (int i = threadIdx.x; i < kFloatKeys * (kDim / 8); i += kFloatThreads) {
      const int row = i / (kDim / 8), chunk = i % (kDim / 8);
      float v[8] = {};
      if (row < valid) Numbers(from.Load(key + row, chunk), from.grids[(key + row) * from.heads], v);
      float4* const to = reinterpret_cast<float4*>(tile + row * stride + chunk * 8);
      to[0] = make_float4(v[0], v[1], v[2], v[3]);
      to[1] = make_float4(v[4], v[5], v[6], v[7]);
    }
  }

  CodeRows<kDim, kBits> k_, v_;
};

template <int kDim, int kBits>
__global__ void __launch_bounds__(kFloatThreads, 1)
    AttentionFloatKvKernel(AttentionBatch b, const float* q, int64_t ldq, KvCodes k, KvCodes v, float* out,
                           int64_t ldo) {
  EAQ_DYNAMIC_SHARED(float, shared);
  AttendFloatBlock<kDim>(b, q, ldq, FloatCodeRows<kDim, kBits>(k, v, b.kv_heads), shared, out, ldo);
}

template <int kDim, int kBits>
void Launch(const AttentionBatch& b, const float* q, int64_t ldq, const KvCodes& k, const KvCodes& v, float* out,
            int64_t ldo, void* stream) {
  const dim3 grid(static_cast<unsigned>(b.heads), static_cast<unsigned>((b.max_queries + kFloatRows - 1) / kFloatRows),
                  static_cast<unsigned>(b.sequences));
  constexpr int kBytes = FloatTiles<kDim>::kFloats * static_cast<int>(sizeof(float));
  EAQ_LAUNCH((AttentionFloatKvKernel<kDim, kBits>), grid, kFloatThreads, kBytes, stream, b, q, ldq, k, v, out, ldo);
}

// ---- decode
template <int kDim, int kBits>
class DecodeCodeRows {
 public:
  static constexpr int kCount = 8;
  struct Raw {
    Eight<kBits> codes;
    float2 grid;
  };

  __device__ inline DecodeCodeRows(const KvCodes& k, const KvCodes& v, int64_t kv_heads)
      : k_(k, kv_heads), v_(v, kv_heads) {}
  __device__ inline void Start(int64_t row, int kv_head, int lane) {
    k_.Move(row, kv_head);
    v_.Move(row, kv_head);
    lane_ = lane;
  }
  __device__ inline Raw LoadKey(int64_t at) const { return {k_.Load(at, lane_), k_.grids[at * k_.heads]}; }
  __device__ inline Raw LoadValue(int64_t at) const { return {v_.Load(at, lane_), v_.grids[at * v_.heads]}; }
  __device__ static inline void Unpack(const Raw& raw, float (&v)[8]) { Numbers(raw.codes, raw.grid, v); }

 private:
  CodeRows<kDim, kBits> k_, v_;
  int lane_;
};

template <typename T, int kDim, int kGroup, int kBits>
__global__ void __launch_bounds__(kDecodeThreads, 1)
    DecodeSplitKvKernel(AttentionBatch b, const T* q, int64_t ldq, KvCodes k, KvCodes v, float* workspace) {
  AttendSplit<T, kDim, kGroup>(b, q, ldq, DecodeCodeRows<kDim, kBits>(k, v, b.kv_heads), workspace);
}

template <int kDim>
__global__ void __launch_bounds__(kDim)
    DecodeMergeKvKernel(AttentionBatch b, const float* workspace, int splits, float* out, int64_t ldo) {
  MergeSplits<kDim>(b, workspace, splits, out, ldo);
}

template <typename T, int kDim, int kBits>
void LaunchDecode(const AttentionBatch& b, const T* q, int64_t ldq, const KvCodes& k, const KvCodes& v,
                  float* workspace, float* out, int64_t ldo, void* stream) {
  const int64_t splits = (b.max_keys + kDecodeSplit - 1) / kDecodeSplit, group = b.heads / b.kv_heads;
  const int together = group % 4 == 0 ? 4 : group % 2 == 0 ? 2 : 1;
  const dim3 grid(static_cast<unsigned>(splits), static_cast<unsigned>(b.heads / together),
                  static_cast<unsigned>(b.sequences));
  if (splits > 0 && together == 4) {
    EAQ_LAUNCH((DecodeSplitKvKernel<T, kDim, 4, kBits>), grid, kDecodeThreads, 0, stream, b, q, ldq, k, v, workspace);
  } else if (splits > 0 && together == 2) {
    EAQ_LAUNCH((DecodeSplitKvKernel<T, kDim, 2, kBits>), grid, kDecodeThreads, 0, stream, b, q, ldq, k, v, workspace);
  } else if (splits > 0) {
    EAQ_LAUNCH((DecodeSplitKvKernel<T, kDim, 1, kBits>), grid, kDecodeThreads, 0, stream, b, q, ldq, k, v, workspace);
  }
  const dim3 merge(static_cast<unsigned>(b.heads), static_cast<unsigned>(b.sequences), 1);
  EAQ_LAUNCH((DecodeMergeKvKernel<kDim>), merge, kDim, 0, stream, b, workspace, static_cast<int>(splits), out, ldo);
}

bool ValidCodes(const AttentionBatch& b, const KvCodes& kv) {
  return (kv.bits == 4 || kv.bits == 8) && ValidRows(kv.codes, kv.ld, b.kv_heads * b.head_dim * kv.bits / 8, 16) &&
         reinterpret_cast<uintptr_t>(kv.grids) % 8 == 0;
}

template <typename T>
bool Valid(const AttentionBatch& b, const T* q, int64_t ldq, const KvCodes& k, const KvCodes& v, const float* out,
           int64_t ldo) {
  return ValidAttention(b) && ValidRows(q, ldq, b.heads * b.head_dim, 16) && ValidCodes(b, k) && ValidCodes(b, v) &&
         k.bits == v.bits && ValidRows(out, ldo, b.heads * b.head_dim, 8);
}

// CALL(kDim, kBits) as types of those constants.
template <typename F>
void WithShape(int64_t dim, int bits, const F& call) {
  const auto with_dim = [&](auto of_bits) {
    switch (dim) {
      case 32:
        return call(std::integral_constant<int, 32>(), of_bits);
      case 64:
        return call(std::integral_constant<int, 64>(), of_bits);
      default:
        return call(std::integral_constant<int, 128>(), of_bits);
    }
  };
  if (bits == 4) return with_dim(std::integral_constant<int, 4>());
  return with_dim(std::integral_constant<int, 8>());
}

template <typename T>
int Prefill(const AttentionBatch& b, const T* q, int64_t ldq, const KvCodes& k, const KvCodes& v, float* out,
            int64_t ldo, void* stream) {
  if (!Valid(b, q, ldq, k, v, out, ldo) || b.max_queries > 65535 * int64_t{kFloatRows}) return kInvalidValue;
  if (b.sequences == 0 || b.max_queries == 0) return 0;
  WithShape(b.head_dim, k.bits, [&](auto dim, auto bits) {
    Launch<decltype(dim)::value, decltype(bits)::value>(b, q, ldq, k, v, out, ldo, stream);
  });
  return EAQ_LAUNCH_ERROR();
}

template <typename T>
int Decode(const AttentionBatch& b, const T* q, int64_t ldq, const KvCodes& k, const KvCodes& v, float* workspace,
           float* out, int64_t ldo, void* stream) {
  if (!Valid(b, q, ldq, k, v, out, ldo)) return kInvalidValue;
  if (b.sequences == 0) return 0;
  WithShape(b.head_dim, k.bits, [&](auto dim, auto bits) {
    LaunchDecode<T, decltype(dim)::value, decltype(bits)::value>(b, q, ldq, k, v, workspace, out, ldo, stream);
  });
  return EAQ_LAUNCH_ERROR();
}

}  // namespace

int QuantizeKv(const float* x, int64_t ldx, int64_t rows, int64_t kv_heads, int64_t head_dim,
               const RowQuantizer& quantizer, const KvCodes& kv, void* stream) {
  if (rows < 0 || kv_heads < 1 || (head_dim != 32 && head_dim != 64 && head_dim != 128) ||
      !ValidRows(x, ldx, kv_heads * head_dim, 16) || (kv.bits != 4 && kv.bits != 8) || quantizer.bits < 2 ||
      quantizer.bits > kv.bits || quantizer.fixed ||
      !ValidRows(kv.codes, kv.ld, kv_heads * head_dim * kv.bits / 8, 4) ||
      reinterpret_cast<uintptr_t>(kv.grids) % 8 != 0) {
    return kInvalidValue;
  }
  if (rows == 0) return 0;
  const int64_t threads = rows * kv_heads * (head_dim / 4),
                blocks = (threads + kQuantizeThreads - 1) / kQuantizeThreads;
  if (blocks > 0x7fffffff) return kInvalidValue;
  WithShape(head_dim, kv.bits, [&](auto dim, auto) {
    EAQ_LAUNCH((QuantizeKvKernel<decltype(dim)::value>), static_cast<unsigned>(blocks), kQuantizeThreads, 0, stream, x,
               ldx, rows, kv_heads, quantizer, kv);
  });
  return EAQ_LAUNCH_ERROR();
}

int AttentionKv(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const KvCodes& k, const KvCodes& v, float* out,
                int64_t ldo, void* stream) {
  return Prefill(batch, q, ldq, k, v, out, ldo, stream);
}
int AttentionKv(const AttentionBatch& batch, const float* q, int64_t ldq, const KvCodes& k, const KvCodes& v,
                float* out, int64_t ldo, void* stream) {
  return Prefill(batch, q, ldq, k, v, out, ldo, stream);
}
int AttentionDecodeKv(const AttentionBatch& batch, const Bf16* q, int64_t ldq, const KvCodes& k, const KvCodes& v,
                      float* workspace, float* out, int64_t ldo, void* stream) {
  return Decode(batch, q, ldq, k, v, workspace, out, ldo, stream);
}
int AttentionDecodeKv(const AttentionBatch& batch, const float* q, int64_t ldq, const KvCodes& k, const KvCodes& v,
                      float* workspace, float* out, int64_t ldo, void* stream) {
  return Decode(batch, q, ldq, k, v, workspace, out, ldo, stream);
}

}  // namespace eaq::kernels::cuda

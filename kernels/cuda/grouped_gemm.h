// The grouped product of a quantized mixture of experts: for every expert e and each of its slots s (a token that chose
// it)
//
//   y[s, n] = sum_k W_e[n, k] x[s, k],     W = s_w (u - z_w),  x = s_x (q - z_x)  or bfloat16
//
// in one persistent launch over all experts. Rows of x are tokens on the 8-wide side of mma, weights the 16-wide side,
// read in fragment order (pack_weights.h).
//
// Algorithm. Tiles of kRows outputs x `token_tile` slots; SortTokens' tile_offsets say how many an expert has. Block b
// takes tiles b, b + grid, ...; within an expert neighbours in the list share weights. A ring of stages in shared
// memory is filled by cp.async (weights and scales as they lie; tokens XOR-swizzled, 16 bytes at a time, through the
// slot -> row table, so that gathering costs nothing), while mma works on the oldest. The next tile's first stages are
// on their way during the epilogue. Sums:
//   int8, int4 activations: int32. One grid a row of W: exact, then once to float:
//     y = (s_x s_w) (sum u' q - z_w sum q - z_x C),  u' = u - 2^(bits-1) (or u), C = column_sums
//   With groups: float sums over groups of s_w (float)(exact int32 of the group); then s_x (sum - z_x C).
//   4 x 8 bits: a byte holds codes of two outputs r and r + 16, 16 u'[r + 16] + u[r]. One product takes bytes as they
//   lie, another one without their upper halves; the difference of their sums is 16 times that of r + 16. So four ANDs
//   serve two products.
//   4 x 4 bits: native int4 tensor cores below sm_90; from sm_90 on two int8 products whose operands hold a nibble in
//   the upper half of each byte (256 x the sum, shifted back): the same bits. bfloat16: u becomes the bfloat16 128 + u
//   by an OR, 128 + z is subtracted (exact); float sums in mma; s_w at the end of the row or group.
// (Persistent grid over problems: NVIDIA/cutlass example 24; 128 + u: IST-DASLab/marlin; specs/kernels.md 1.2 to 1.7.)
//
// Limits: fewer than 2^30 tiles, cols at most 32768 (int32 sums of one row), x rows 16-byte aligned.
// The same bits in every run: every output is summed by one warp in a fixed order, and does not depend on the other
// tokens.
#ifndef KERNELS_CUDA_GROUPED_GEMM_H_
#define KERNELS_CUDA_GROUPED_GEMM_H_

#include <cstdint>

#include "kernels/cuda/grouped_gemm_tiles.h"
#include "kernels/cuda/persistent_grid.h"

namespace eaq::kernels::cuda {

// Device pointers to one expert's FragmentWeights.
struct ExpertMatrix {
  const uint8_t* codes;
  const uint16_t* scales;
  const uint8_t* zeros;      // null: symmetric
  const float* column_sums;  // needed where activations have zero points
  // Where results go: result r of this matrix (a row, or with swiglu a pair of rows) becomes column outputs[r] of y, or
  // is dropped where that is negative. Null: column r. A second launch with few rows of another width so lays a patch
  // over what a first one wrote (MoQa's channel cache); experts with fewer patched rows than others pad with -1.
  const int32_t* outputs = nullptr;
  int32_t bits = 0;  // of the codes; read by the mixed formats only
};

// kMixedA16: every expert its own width of 2, 3, 4 or 6 bits; kMixedA8: 4 or 8. A block looks at its tile's expert and
// takes that width's code (MxMoE's horizontal fusion, cat538/MxMoE); registers are those of the worst.
enum class GemmFormat : int { kW8A8, kW4A8, kW4A4, kW6A16, kW4A16, kW3A16, kW2A16, kMixedA16, kMixedA8 };
inline constexpr int kGemmFormats = 9;
constexpr bool IsInteger(GemmFormat f) {
  return f == GemmFormat::kW8A8 || f == GemmFormat::kW4A8 || f == GemmFormat::kW4A4 || f == GemmFormat::kMixedA8;
}
// Whether the product reads sums of the activations' codes.
constexpr bool NeedsSums(GemmFormat f, bool weight_zeros) {
  return f == GemmFormat::kW4A8 || f == GemmFormat::kMixedA8 || (IsInteger(f) && weight_zeros);
}

struct GroupedGemmArguments {
  // Weights: experts [experts] in device memory, all of one shape [rows, cols].
  const ExpertMatrix* experts = nullptr;
  int64_t expert_count = 0;
  int64_t rows = 0;   // outputs of the packed matrix (gate and up together: 2 * RoundUp(width, 8))
  int64_t cols = 0;   // inputs
  int64_t group = 0;  // 0, 128, 64 or 32
  // Slots by expert, from SortTokens with tile_rows = token_tile.
  const int32_t* offsets = nullptr;
  const int32_t* tile_offsets = nullptr;
  int64_t slots = 0;   // at most offsets[experts]
  int token_tile = 8;  // 8, 16, 32 or 128: TokenTile()
  // Activations. Slot s reads row x_rows[s] / x_row_divisor of x, or row s.
  const void* x = nullptr;           // codes [., P], [., P / 2], or bfloat16 [., P] (quantize_rows.h)
  const float* x_scales = nullptr;   // [.], a grid a row; not for bfloat16
  const int32_t* x_zeros = nullptr;  // [.], or null: all 0
  const int32_t* x_sums = nullptr;   // [., P / 128 * x_sums_of_brick + 1]: see NeedsSums
  int x_sums_of_brick = 1;           // 1, 2 or 4; with groups 128 / group
  const int32_t* x_rows = nullptr;   // SortedTokens::pair_of_slot, or null
  int32_t x_row_divisor = 1;         // k
  // Results, by slot: y [slots, .], ldy elements from row to row.
  bool swiglu = false;  // weights are InterleaveGateUp: y = silu(gate) * up, `outputs` of them
  int64_t outputs = 0;  // columns of y that are written: rows, or width with swiglu
  float* y = nullptr;   // one of y and y_bf16
  uint16_t* y_bf16 = nullptr;
  int64_t ldy = 0;
  const float* pair_weights = nullptr;    // [pairs] factor on a slot's results (router weights), or null
  const int32_t* pair_of_slot = nullptr;  // [slots], with pair_weights
  Machine machine;                        // what the grid is sized for
};

// Returns 0, a CUDA error, or 1 (cudaErrorInvalidValue) for arguments outside the limits. slots may be 0.
int GroupedGemm(GemmFormat format, const GroupedGemmArguments& arguments, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_H_

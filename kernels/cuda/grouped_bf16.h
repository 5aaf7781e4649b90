// The grouped product with bfloat16 weights, for linears that are not quantized: for every expert e and each of its
// slots s   y[s, n] = factor(s) sum_k W_e[n, k] x[s, k],   one persistent launch over all experts (one expert: a plain
// linear).
//
// Weights are rows of bfloat16 as they come, padded to PaddedColumns: no fragment order. Tiles of 64 outputs x 32
// slots; a block of 4 warps, each 16 outputs x 32 slots of mma.m16n8k16; 64 columns a stage, a ring of 3 filled by
// cp.async, 16-byte chunks XOR-swizzled by the row's number, read by ldmatrix without bank conflicts. Block b takes
// tiles b, b + grid, ...; neighbours share slots. (Large dense products on a GPU belong to cuBLAS, which has larger
// tiles; this one gathers, takes all experts at once and runs emulated.)
//
// Sums are float32 in mma in the order of the columns, within (cols / 8 + 2) 2^-23 of the sum of magnitudes (the
// instruction may truncate), then the factor. The same bits in every run; a slot's result does not depend on the
// others.
#ifndef KERNELS_CUDA_GROUPED_BF16_H_
#define KERNELS_CUDA_GROUPED_BF16_H_

#include <cstdint>

#include "kernels/cuda/persistent_grid.h"

namespace eaq::kernels::cuda {

inline constexpr int kBf16TokenTile = 32;  // SortTokens' tile_rows

struct GroupedBf16Arguments {
  const uint16_t* const* experts =
      nullptr;  // [expert_count] in device memory: weights [rows, P], P = PaddedColumns(cols)
  int64_t expert_count = 0;
  int64_t rows = 0;  // outputs
  int64_t cols = 0;  // inputs
  // Slots by expert, from SortTokens with tile_rows = kBf16TokenTile.
  const int32_t* offsets = nullptr;
  const int32_t* tile_offsets = nullptr;
  int64_t slots = 0;  // at most offsets[expert_count]
  // Slot s reads row x_rows[s] / x_row_divisor of x, or row s.
  const uint16_t* x = nullptr;  // [., P], padded with 0 (GatherRowsBf16)
  const int32_t* x_rows = nullptr;
  int32_t x_row_divisor = 1;
  float* y = nullptr;  // [slots, rows], ldy elements from row to row
  int64_t ldy = 0;
  const float* pair_weights = nullptr;    // [pairs] factor on a slot's results, or null
  const int32_t* pair_of_slot = nullptr;  // [slots], with pair_weights
  Machine machine;                        // what the grid is sized for
};

// Returns 0, a CUDA error, or 1 (cudaErrorInvalidValue): sizes below 1 (slots may be 0) or beyond 2^30, ldy below rows,
// x or weights not 16-byte aligned.
int GroupedBf16(const GroupedBf16Arguments& arguments, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_BF16_H_

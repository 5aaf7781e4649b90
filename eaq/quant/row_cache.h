// RowCache: rows (output channels) of a quantized linear that are kept in float16 as well, so that a finished model can
// give them another width: what has been rounded to 4 bits cannot be promoted (MoQa, moqa.md 5).
//
//   EAQ_ASSIGN_OR_RETURN(RowCache cache, MakeRowCache(weight.const_view(), {3, 17}, grid, /*pool=*/true));
//   Matrix w = Dequantize(solved);
//   EAQ_RETURN_IF_ERROR(ApplyPatch(cache, 8, w.view()));      // rows 3 and 17 are now the weights rounded to 8 bits
//
// The rounded matrix keeps all its rows; a patch lies over some of them. Stored are the float16 rows, their numbers,
// and a pool of as many bytes as a patch of 8 bits needs, which holds the patch that is in place (docs/formats/
// packed_weights.md). Rounding is to nearest, as at run time.
#ifndef EAQ_QUANT_ROW_CACHE_H_
#define EAQ_QUANT_ROW_CACHE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/packing.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// Widths of a patch beside 2 .. 8.
inline constexpr int kAsRounded = 0;  // no patch: the rows as the linear's own rounding left them
inline constexpr int kFloat16 = 16;   // the cached numbers themselves

struct RowCache {
  GridSpec grid;                 // of a patch of 8 bits, others WithBits of it; per tensor: one grid for the patch
  int64_t out = 0, cols = 0;     // shape of the linear
  std::vector<int32_t> rows;     // which are kept, rising; not empty
  std::vector<uint16_t> values;  // float16, [rows, cols]
  bool pool = true;              // whether there is room for a patch; false: never one of 2 .. 8 bits
  std::vector<int> bits_of_set;  // the width that each of the model's data sets asks for
  int bits = kAsRounded;         // the width in place

  friend bool operator==(const RowCache&, const RowCache&) = default;
};

// Bytes of a cache of so many rows of a linear [out, cols]: 2 a weight, 2 a row number (4 where OUT is above 65536),
// and with POOL those of rows packed at 8 bits.
int64_t RowCacheBytes(const GridSpec& grid, int64_t rows, int64_t out, int64_t cols, bool pool);
int64_t RowCacheBytes(const RowCache& cache);

// InvalidArgument: rows that are none, do not rise or are no rows of WEIGHT, or a weight beyond float16 (65504).
absl::StatusOr<RowCache> MakeRowCache(ConstMatrixView weight, std::vector<int32_t> rows, const GridSpec& grid,
                                      bool pool);

// Everything but the numbers' origin. InvalidArgument says what is wrong.
absl::Status ValidateRowCache(const RowCache& cache);

// Overwrites the cached rows of W[out, cols] by their values at BITS; kAsRounded leaves W alone. InvalidArgument: BITS
// is no width, or there is no pool for it.
absl::Status ApplyPatch(const RowCache& cache, int bits, MatrixView w);

// The pool's bytes with the patch of CACHE.bits in it: codes, scales, zeros, then zeros up to the pool's size. Empty
// without a pool; all zeros where no patch of 2 .. 8 bits is in place.
absl::StatusOr<std::vector<uint8_t>> PatchPool(const RowCache& cache);

}  // namespace eaq

#endif  // EAQ_QUANT_ROW_CACHE_H_

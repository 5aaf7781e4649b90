// What a recipe leaves to be done to rows at run time before they are rounded (eaq/model/online.h), one step a launch:
// gathered, divided, then one of copied, rotated in blocks, permuted, multiplied by a Hadamard matrix.
#ifndef KERNELS_CUDA_TRANSFORM_ROWS_H_
#define KERNELS_CUDA_TRANSFORM_ROWS_H_

#include <cstdint>

#include "kernels/cuda/quantize_rows.h"

namespace eaq::kernels::cuda {

struct RowTransform {
  enum class Kind : int {
    kCopy,
    kRotate,    // every `block` channels: x <- x R
    kPermute,   // x'[j] = x[permutation[j]]
    kHadamard,  // every `block` channels that lie `stride` apart: x <- x H / sqrt(block)
  };
  Kind kind = Kind::kCopy;
  int64_t block = 0;                     // divides the columns; block * stride does
  int64_t stride = 1;                    // of kHadamard; with a head's width it mixes heads
  const float* rotation = nullptr;       // [sets, block, block]
  const int32_t* permutation = nullptr;  // [sets, cols]
  // H = C (x) Sylvester's matrix of order block / core_order, a power of two; C [core_order, core_order] of +1 and -1,
  // row-major, or null where core_order is 1 (eaq/tensor/hadamard.h).
  int64_t core_order = 1;
  const int8_t* core = nullptr;
};

// Which set of divisors, rotations and permutations a row takes: that of number set_of_pair[pair_of_row[i]] for row i
// (an expert's: SortedTokens::pair_of_slot, and the experts chosen). Null: one set for all. A negative pair, a slot
// that no pair fills, is a row of zeros.
struct RowSets {
  const int32_t* pair_of_row = nullptr;
  const int32_t* set_of_pair = nullptr;
};

// y [source.rows, cols], contiguous. SOURCE's divisors are [sets, cols]. y may be source.x where rows are neither
// gathered nor permuted. Sums of a rotation are float32 in the order of the channels, within (block + 1) 2^-24 of the
// sum of magnitudes; of a Hadamard matrix those of the CPU to the bit: butterflies in the same order, then the rows of
// the core. A block of threads holds 8 rows (with sets: 1) of some blocks, or the channels that a Hadamard matrix
// mixes, in shared memory: at most kMostTransformed. Returns 0, a CUDA error, or 1 (cudaErrorInvalidValue): sizes that
// do not divide each other, missing tables.
inline constexpr int64_t kMostTransformed =
    24576;  // floats: block * stride of a Hadamard matrix; block of a rotation 1024
inline constexpr int64_t kMostRotated = 1024;
int TransformRows(const RowSource& source, const RowTransform& transform, const RowSets& sets, float* y, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_TRANSFORM_ROWS_H_

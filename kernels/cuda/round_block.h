// GPTQ's inner loop on the GPU: rounds a block of columns in sequence, all rows in parallel, and feeds each error to
// the columns after it. (Solver::Run of eaq/quant/gptq.cc; Frantar et al., "GPTQ", ICLR 2023, algorithm 1.)
//
//   for begin = 0, block, 2 block, ...:   RoundBlock(begin .. end), then UpdateRest(begin .. end)
//
// All in float64, as there. What is compared with it:
//   RoundBlock does the CPU's operations one by one: code = nearest(float(w)), e = (w - value) / u_ii, w_j = w_j - e
//   u_ij (product and difference rounded each) for i in order. Given the same w it gives the same bits. UpdateRest adds
//   the block's products of an entry in order by fused multiply-adds and subtracts the sum; Eigen's product may add
//   them in another order. Entries then differ by about block * 2^-53 of the sum of magnitudes, and a code can differ
//   where the CPU's w, rounded to float32, lies within 2 float32 ulps of a tie between two codes, and nowhere else;
//   after such a code the rest of that row differs by the usual feedback. round_block_check.cc counts them.
#ifndef KERNELS_CUDA_ROUND_BLOCK_H_
#define KERNELS_CUDA_ROUND_BLOCK_H_

#include <cstdint>

#include "kernels/cuda/weight_grid.h"

namespace eaq::kernels::cuda {

inline constexpr int64_t kMaxRoundBlock = 128;

// A matrix in the order in which its columns are visited ("positions").
struct RoundProblem {
  double* work = nullptr;  // [rows, cols]: weights with the updates so far, rows ldw apart
  int64_t ldw = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  const double* u = nullptr;  // [cols, cols] row-major, rows ldu apart: the upper factor, U^T U = H^-1
  int64_t ldu = 0;
  // The grid of row r at position i is grids[r * grid_stride + group_of[i]]; grid_stride 0: one grid for everything.
  const WeightGrid* grids = nullptr;
  int64_t grid_stride = 0;
  const int32_t* group_of = nullptr;  // [cols], or null: group 0
  int bits = 4;
  const int32_t* column_of = nullptr;  // [cols]: where the code of position i goes; null: i
  uint8_t* codes = nullptr;            // [rows, cols]
  double* errors = nullptr;            // [rows, 128]: E of the current block
};

// Positions begin .. end - 1, at most 128. Writes their codes, their errors and, in work, what they were when rounded.
// One warp a row: lane l holds positions begin + l, + 32, ..., the value to be rounded goes round by shuffle.
// Returns 0, or the CUDA error; 1 (invalid value) for bits outside 2 .. 8, a bad range, sizes or strides.
int RoundBlock(const RoundProblem& problem, int64_t begin, int64_t end, void* stream);

// work[:, end:] -= E U[begin : end, end:]
int UpdateRest(const RoundProblem& problem, int64_t begin, int64_t end, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_ROUND_BLOCK_H_

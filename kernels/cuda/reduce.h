// Ranges of columns and rows on the GPU: the statistics of calibration (Profile's range and abs_max) and of weights.
#ifndef KERNELS_CUDA_REDUCE_H_
#define KERNELS_CUDA_REDUCE_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// Floats of ColumnRanges' workspace.
int64_t ColumnRangesWorkspace(int64_t rows, int64_t n);

// low[i] = min(0, x[0, i], ..., x[rows - 1, i]), high[i] the largest alike, for the columns of x[rows, n], rows ldx >=
// n elements apart. accumulate: together with what low and high hold already (a second batch of the same calibration).
// The largest magnitude is max(-low, high). NaN entries are passed over, infinities are not. The result is exact: the
// same whatever the order.
//
// Blocks of 128 columns and 512 rows write their ranges to the workspace (ColumnRangesWorkspace floats), a second
// kernel merges them. One read of x, 16-byte accesses where ldx and n are multiples of 4 and x is 16-byte aligned.
// Returns 0, or the CUDA error; 1 (invalid value) for negative sizes or a stride below n. rows may be 0.
int ColumnRanges(const float* x, int64_t ldx, float* low, float* high, bool accumulate, float* workspace, int64_t rows,
                 int64_t n, void* stream);

// low[r] = min(0, x[r, 0], ...), high[r] alike, for the rows. n may be 0.
int RowRanges(const float* x, int64_t ldx, float* low, float* high, int64_t rows, int64_t n, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_REDUCE_H_

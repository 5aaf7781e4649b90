#include <cmath>

#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/transform_rows.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kThreads = 256;
constexpr int kPiece = 1024;  // columns of a row that a block takes, unless a matrix needs more

struct Arguments {
  RowSource source;
  RowTransform transform;
  RowSets sets;
  float* y;
  int64_t piece;              // columns of a thread block: whole blocks of the transform
  float factor, core_factor;  // 1 / sqrt of the order of Sylvester's matrix, and of the core
};

struct Row {
  const float* x;         // null: zeros
  const float* divisors;  // or null
  int64_t set;
  __device__ inline float At(int64_t column) const {
    if (x == nullptr) return 0.0f;
    return divisors == nullptr ? x[column] : x[column] / divisors[column];
  }
};

__device__ inline Row RowOf(const Arguments& a, int64_t i) {
  const RowSource& s = a.source;
  int64_t from = i;
  if (s.gather != nullptr) from = s.gather[i] < 0 ? -1 : s.gather[i] / s.gather_divisor;
  Row row = {nullptr, nullptr, 0};
  if (from < 0) return row;
  if (a.sets.set_of_pair != nullptr) {
    const int32_t pair = a.sets.pair_of_row[i];
    if (pair < 0) return row;
    row.set = a.sets.set_of_pair[pair];
  }
  row.x = s.x + from * s.ldx;
  if (s.divisors != nullptr) row.divisors = s.divisors + row.set * s.cols;
  return row;
}

// Grid (rows, pieces).
template <bool kPermuted>
__global__ void __launch_bounds__(kThreads) CopyRowsKernel(Arguments a) {
  const int64_t i = blockIdx.x, cols = a.source.cols, first = blockIdx.y * a.piece;
  const int64_t end = first + a.piece < cols ? first + a.piece : cols;
  const Row row = RowOf(a, i);
  const int32_t* const from = kPermuted ? a.transform.permutation + row.set * cols : nullptr;
  for (int64_t c = first + threadIdx.x; c < end; c += kThreads) a.y[i * cols + c] = row.At(kPermuted ? from[c] : c);
}

// Grid (kRows rows each, pieces). A thread makes a column of all its rows, so that a number of R is read once for them.
template <int kRows>
__global__ void __launch_bounds__(kThreads) RotateRowsKernel(Arguments a) {
  EAQ_DYNAMIC_SHARED(float, tile);  // [kRows, piece]
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kRows, cols = a.source.cols;
  const int64_t first = blockIdx.y * a.piece, block = a.transform.block;
  const int width = static_cast<int>(cols - first < a.piece ? cols - first : a.piece);
  const int piece = static_cast<int>(a.piece);
  int64_t set = 0;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    Row row = {nullptr, nullptr, 0};
    if (first_row + r < a.source.rows) row = RowOf(a, first_row + r);
    if (kRows == 1) set = row.set;
    for (int c = threadIdx.x; c < width; c += kThreads) tile[r * piece + c] = row.At(first + c);
  }
  __syncthreads();
  const float* const rotation = a.transform.rotation + set * block * block;
  for (int c = threadIdx.x; c < width; c += kThreads) {
    const int column = c % static_cast<int>(block), begin = c - column;
    float sums[kRows] = {};
    for (int j = 0; j < block; ++j) {
      const float weight = rotation[j * block + column];
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[r] = fmaf(tile[r * piece + begin + j], weight, sums[r]);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first_row + r < a.source.rows) a.y[(first_row + r) * cols + first + c] = sums[r];
    }
  }
}

// Grid (rows, pieces). Channel i of a block, of those that start at s: shared[(copy * block + i) * stride + s].
__global__ void __launch_bounds__(kThreads) HadamardRowsKernel(Arguments a) {
  EAQ_DYNAMIC_SHARED(float, values);  // [piece]
  const int64_t row_index = blockIdx.x, cols = a.source.cols, first = blockIdx.y * a.piece;
  const int width = static_cast<int>(cols - first < a.piece ? cols - first : a.piece);
  const int block = static_cast<int>(a.transform.block), stride = static_cast<int>(a.transform.stride);
  const int core = static_cast<int>(a.transform.core_order), order = block / core;
  const Row row = RowOf(a, row_index);
  for (int c = threadIdx.x; c < width; c += kThreads) values[c] = row.At(first + c);
  __syncthreads();
  // Butterflies at distance 1, 2, 4, ... within each Sylvester matrix.
  for (int half = 1; half < order; half *= 2) {
    for (int q = threadIdx.x; q < width / 2; q += kThreads) {
      const int s = q % stride, pair = q / stride;  // pair `pair` of all blocks
      const int low = (pair / half * 2 * half + pair % half) * stride + s, high = low + half * stride;
      const float x = values[low], y = values[high];
      values[low] = x + y;
      values[high] = x - y;
    }
    __syncthreads();
  }
  float* const out = a.y + row_index * cols + first;
  for (int c = threadIdx.x; c < width; c += kThreads) {
    if (core == 1) {
      out[c] = Mul(values[c], a.factor);
      continue;
    }
    const int in_block = c / stride % block, to = in_block / order;
    const int zeroth = c - to * order * stride;  // the same place under row 0 of the core
    float sum = 0;
    for (int from = 0; from < core; ++from) {
      const float value = Mul(values[zeroth + from * order * stride], a.factor);
      sum += a.transform.core[from * core + to] > 0 ? value : -value;
    }
    out[c] = Mul(sum, a.core_factor);
  }
}

int64_t CeilDiv(int64_t n, int64_t step) { return (n + step - 1) / step; }

bool Valid(const RowSource& s, const RowTransform& t, const RowSets& sets) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (s.rows < 0 || s.rows >= kMost || s.cols < 0 || s.cols >= kMost || s.gather_divisor < 1) return false;
  if ((sets.set_of_pair == nullptr) != (sets.pair_of_row == nullptr)) return false;
  switch (t.kind) {
    case RowTransform::Kind::kCopy:
      return true;
    case RowTransform::Kind::kRotate:
      return t.rotation != nullptr && t.block >= 1 && t.block <= kMostRotated && s.cols % t.block == 0;
    case RowTransform::Kind::kPermute:
      return t.permutation != nullptr;
    case RowTransform::Kind::kHadamard:
      break;
  }
  if (t.block < 1 || t.stride < 1 || t.block > kMostTransformed || t.stride > kMostTransformed / t.block ||
      s.cols % (t.block * t.stride) != 0 || t.core_order < 1 || t.block % t.core_order != 0 ||
      (t.core_order > 1 && t.core == nullptr)) {
    return false;
  }
  const int64_t order = t.block / t.core_order;
  return (order & (order - 1)) == 0;
}

}  // namespace

int TransformRows(const RowSource& source, const RowTransform& transform, const RowSets& sets, float* y, void* stream) {
  if (!Valid(source, transform, sets)) return kInvalidValue;
  if (source.rows == 0 || source.cols == 0) return 0;
  const int64_t unit = transform.kind == RowTransform::Kind::kRotate     ? transform.block
                       : transform.kind == RowTransform::Kind::kHadamard ? transform.block * transform.stride
                                                                         : 1;
  const int64_t some = transform.kind == RowTransform::Kind::kRotate ? kThreads : kPiece;
  Arguments a{source, transform, sets, y, unit * (unit >= some ? 1 : some / unit), 1.0f, 1.0f};
  if (a.piece > source.cols) a.piece = source.cols;
  if (transform.kind == RowTransform::Kind::kHadamard) {
    const double order = static_cast<double>(transform.block / transform.core_order);
    a.factor = static_cast<float>(1.0 / std::sqrt(order));
    a.core_factor = static_cast<float>(1.0 / std::sqrt(static_cast<double>(transform.core_order)));
  }
  const auto rows = static_cast<unsigned>(source.rows);
  const auto pieces = static_cast<unsigned>(CeilDiv(source.cols, a.piece));
  const size_t row_bytes = static_cast<size_t>(a.piece) * sizeof(float);
  constexpr int kRows = 8;
  switch (transform.kind) {
    case RowTransform::Kind::kCopy:
      EAQ_LAUNCH(CopyRowsKernel<false>, dim3(rows, pieces), kThreads, 0, stream, a);
      break;
    case RowTransform::Kind::kPermute:
      EAQ_LAUNCH(CopyRowsKernel<true>, dim3(rows, pieces), kThreads, 0, stream, a);
      break;
    case RowTransform::Kind::kRotate:
      if (sets.set_of_pair != nullptr) {
        EAQ_LAUNCH(RotateRowsKernel<1>, dim3(rows, pieces), kThreads, row_bytes, stream, a);
      } else {
        EAQ_LAUNCH(RotateRowsKernel<kRows>, dim3(static_cast<unsigned>(CeilDiv(source.rows, kRows)), pieces), kThreads,
                   kRows * row_bytes, stream, a);
      }
      break;
    case RowTransform::Kind::kHadamard:
      EAQ_LAUNCH(HadamardRowsKernel, dim3(rows, pieces), kThreads, row_bytes, stream, a);
      break;
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda

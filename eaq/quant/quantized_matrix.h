// QuantizedMatrix: a weight as a solver leaves it. Codes, and one grid per row, group or tensor.
#ifndef EAQ_QUANT_QUANTIZED_MATRIX_H_
#define EAQ_QUANT_QUANTIZED_MATRIX_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct QuantizedMatrix {
  GridSpec grid;
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<uint8_t> codes;      // [rows, cols], original column order
  std::vector<GridParams> params;  // [rows, groups]; [1] for kTensor
  // The group of every column, [cols]; empty: column / group_size. Only GPTQ with act-order and groups found on the
  // way needs it (its groups are not consecutive columns).
  std::vector<int32_t> group_of_column;
  // The width of every group of a row, [groups], the same in all rows (SliM-LLM); empty: grid.bits. A group of width b
  // is on WithBits(grid, b).
  std::vector<uint8_t> group_bits;

  int64_t groups_per_row() const { return grid.GroupsPerRow(cols); }
  GridSpec GridOfGroup(int64_t group) const { return group_bits.empty() ? grid : WithBits(grid, group_bits[group]); }
  GridParams ParamsAt(int64_t row, int64_t col) const {
    if (grid.granularity == Granularity::kTensor) return params[0];
    if (grid.granularity == Granularity::kChannel) return params[row];
    const int64_t group = group_of_column.empty() ? col / grid.group_size : group_of_column[col];
    return params[row * groups_per_row() + group];
  }
  friend bool operator==(const QuantizedMatrix&, const QuantizedMatrix&) = default;
};

// InvalidArgument unless GROUP_BITS are empty or the widths, 1 .. 8, of the groups of a row of COLS columns.
absl::Status ValidateGroupBits(const GridSpec& grid, int64_t cols, absl::Span<const uint8_t> group_bits);

// Sizes agree with each other and all codes, zeros and group indices are in range. InvalidArgument says what is not.
absl::Status ValidateQuantized(const QuantizedMatrix& q);

// W[rows, cols] = scale * (code - zero). `q` must be valid.
Matrix Dequantize(const QuantizedMatrix& q);
// The same into a view of that shape.
void DequantizeInto(const QuantizedMatrix& q, MatrixView w);

}  // namespace eaq

#endif  // EAQ_QUANT_QUANTIZED_MATRIX_H_

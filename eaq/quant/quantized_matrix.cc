#include "eaq/quant/quantized_matrix.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {

absl::Status ValidateGroupBits(const GridSpec& grid, int64_t cols, absl::Span<const uint8_t> group_bits) {
  if (group_bits.empty()) return absl::OkStatus();
  const int64_t groups = grid.GroupsPerRow(cols);
  if (grid.granularity != Granularity::kGroup || static_cast<int64_t>(group_bits.size()) != groups) {
    return absl::InvalidArgumentError(absl::StrCat("widths of ", group_bits.size(), " groups on grid ", grid.ToString(),
                                                   "; expected a grid per group and ", groups, " widths"));
  }
  for (const uint8_t bits : group_bits) {
    if (bits >= 1 && bits <= 8) continue;
    return absl::InvalidArgumentError(absl::StrCat("a group of ", bits, " bits; expected 1 .. 8"));
  }
  return absl::OkStatus();
}

absl::Status ValidateQuantized(const QuantizedMatrix& q) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(q.grid));
  const auto wrong = [&](absl::string_view what, double expected, double found) {
    return absl::InvalidArgumentError(absl::StrCat("quantized matrix [", q.rows, ", ", q.cols, "] ", q.grid.ToString(),
                                                   ": ", what, ": expected ", expected, ", found ", found));
  };
  if (q.rows < 0 || q.cols < 1) return wrong("smallest number of columns", 1, q.cols);
  const int64_t grids = q.grid.GridCount(q.rows, q.cols);
  if (q.codes.size() != q.rows * q.cols) return wrong("number of codes", q.rows * q.cols, q.codes.size());
  if (q.params.size() != grids) return wrong("number of grids", grids, q.params.size());
  EAQ_RETURN_IF_ERROR(ValidateGroupBits(q.grid, q.cols, q.group_bits));
  const int64_t run = q.group_bits.empty() ? q.cols : q.grid.group_size;  // columns of one width
  for (int64_t begin = 0; begin < q.cols; begin += run) {
    const int max_code = q.GridOfGroup(begin / run).max_code();
    for (int64_t r = 0; r < q.rows; ++r) {
      for (int64_t c = begin; c < std::min(begin + run, q.cols); ++c) {
        if (q.codes[r * q.cols + c] > max_code) return wrong("largest code", max_code, q.codes[r * q.cols + c]);
      }
    }
  }
  for (size_t i = 0; i < q.params.size(); ++i) {
    const GridParams& p = q.params[i];
    const GridSpec grid = q.GridOfGroup(static_cast<int64_t>(i) % q.groups_per_row());
    if (!std::isfinite(p.scale) || p.scale == 0.0f) {
      return absl::InvalidArgumentError(absl::StrCat("quantized matrix: scale ", p.scale, " is 0 or not finite"));
    }
    if (!(p.zero >= 0 && p.zero <= static_cast<float>(grid.max_code()))) {
      return wrong("largest zero", grid.max_code(), p.zero);
    }
    if (grid.symmetric() && p.zero != grid.fixed_zero()) return wrong("zero of such a grid", grid.fixed_zero(), p.zero);
    if (!grid.symmetric() && p.zero != std::floor(p.zero)) return wrong("whole zero", std::floor(p.zero), p.zero);
  }
  if (q.group_of_column.empty()) return absl::OkStatus();
  if (!q.group_bits.empty()) {
    return absl::InvalidArgumentError("quantized matrix: group_of_column beside group_bits; expected one of them");
  }
  if (q.grid.granularity != Granularity::kGroup) {
    return absl::InvalidArgumentError("quantized matrix: group_of_column without a grid per group");
  }
  if (q.group_of_column.size() != q.cols) return wrong("entries of group_of_column", q.cols, q.group_of_column.size());
  for (const int32_t group : q.group_of_column) {
    if (group < 0 || group >= q.groups_per_row()) return wrong("largest group", q.groups_per_row() - 1, group);
  }
  return absl::OkStatus();
}

void DequantizeInto(const QuantizedMatrix& q, MatrixView w) {
  const bool grouped = q.grid.granularity == Granularity::kGroup;
  const bool scattered = !q.group_of_column.empty();
  const int64_t run = grouped ? q.grid.group_size : q.cols;  // columns that share a grid
  for (int64_t r = 0; r < q.rows; ++r) {
    const uint8_t* codes = q.codes.data() + r * q.cols;
    float* out = w.row(r);
    if (scattered) {
      for (int64_t c = 0; c < q.cols; ++c) out[c] = DequantizeCode(codes[c], q.ParamsAt(r, c));
      continue;
    }
    for (int64_t begin = 0; begin < q.cols; begin += run) {
      const GridParams p = q.ParamsAt(r, begin);
      const int64_t end = std::min(begin + run, q.cols);
#pragma omp simd
      for (int64_t c = begin; c < end; ++c) out[c] = DequantizeCode(codes[c], p);
    }
  }
}

Matrix Dequantize(const QuantizedMatrix& q) {
  Matrix w(q.rows, q.cols);
  DequantizeInto(q, w.view());
  return w;
}

}  // namespace eaq

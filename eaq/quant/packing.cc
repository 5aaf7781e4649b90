#include "eaq/quant/packing.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/tensor/f16.h"

namespace eaq {
namespace {

int64_t BytesForBits(int64_t bits) { return (bits + 7) / 8; }

// Values of one width.
auto Always(int bits) {
  return [bits](int64_t) { return bits; };
}

// Appends values of `bits(i)` bits, lowest bit first; the last byte is filled with zeros.
template <typename Bits, typename Get>
void PackBits(int64_t count, Bits bits, Get value, uint8_t* out) {
  uint32_t buffer = 0;
  int held = 0;
  for (int64_t i = 0; i < count; ++i) {
    buffer |= static_cast<uint32_t>(value(i)) << held;
    for (held += bits(i); held >= 8; held -= 8) {
      *out++ = static_cast<uint8_t>(buffer);
      buffer >>= 8;
    }
  }
  if (held > 0) *out = static_cast<uint8_t>(buffer);
}

template <typename Bits, typename Set>
void UnpackBits(const uint8_t* in, int64_t count, Bits bits, Set set) {
  uint32_t buffer = 0;
  int held = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int width = bits(i);
    if (held < width) {
      buffer |= static_cast<uint32_t>(*in++) << held;
      held += 8;
    }
    set(i, buffer & ((1u << width) - 1));
    buffer >>= width;
    held -= width;
  }
}

// Codes of a row, lowest bit first. WIDTHS: of the columns where they differ. Else Codes of 6 bits lie in two planes,
// the low 4 bits of all, then the high 2, each of which starts on a byte: neither plane has a code across two words.
void PackRow(const uint8_t* codes, int64_t cols, int bits, const std::vector<int>& widths, uint8_t* out) {
  if (!widths.empty()) {
    PackBits(
        cols, [&](int64_t c) { return widths[c]; }, [codes](int64_t c) { return codes[c]; }, out);
    return;
  }
  if (bits != 6) {
    PackBits(
        cols, Always(bits), [codes](int64_t c) { return codes[c]; }, out);
    return;
  }
  PackBits(
      cols, Always(4), [codes](int64_t c) { return codes[c] & 15; }, out);
  PackBits(
      cols, Always(2), [codes](int64_t c) { return codes[c] >> 4; }, out + BytesForBits(4 * cols));
}

void UnpackRow(const uint8_t* in, int64_t cols, int bits, const std::vector<int>& widths, uint8_t* codes) {
  if (!widths.empty()) {
    UnpackBits(
        in, cols, [&](int64_t c) { return widths[c]; },
        [codes](int64_t c, uint32_t code) { codes[c] = static_cast<uint8_t>(code); });
    return;
  }
  if (bits != 6) {
    UnpackBits(in, cols, Always(bits), [codes](int64_t c, uint32_t code) { codes[c] = static_cast<uint8_t>(code); });
    return;
  }
  UnpackBits(in, cols, Always(4), [codes](int64_t c, uint32_t low) { codes[c] = static_cast<uint8_t>(low); });
  UnpackBits(in + BytesForBits(4 * cols), cols, Always(2),
             [codes](int64_t c, uint32_t high) { codes[c] |= static_cast<uint8_t>(high << 4); });
}

// The grid of the group of widths GROUP_BITS, or SPEC where there are none.
GridSpec GridOfGroup(const GridSpec& spec, absl::Span<const uint8_t> group_bits, int64_t group) {
  return group_bits.empty() ? spec : WithBits(spec, group_bits[group]);
}

// What the zero of a grid takes.
int ZeroBits(const GridSpec& grid) { return grid.symmetric() ? 0 : grid.bits; }

// The widths of the codes of a row whose groups differ, column by column; empty: all the grid's.
std::vector<int> ColumnBits(const GridSpec& spec, absl::Span<const uint8_t> group_bits, int64_t cols) {
  std::vector<int> bits;
  for (int64_t c = 0; c < cols && !group_bits.empty(); ++c) bits.push_back(group_bits[c / spec.group_size]);
  return bits;
}

std::vector<GridParams> UnpackParams(const PackedMatrix& p) {
  const int64_t groups = p.grid.GroupsPerRow(p.cols);
  std::vector<GridParams> params(p.scales.size());
  const auto grid = [&](int64_t i) { return GridOfGroup(p.grid, p.group_bits, i % groups); };
  for (size_t i = 0; i < params.size(); ++i) params[i] = {F16ToFloat(p.scales[i]), grid(i).fixed_zero()};
  UnpackBits(
      p.zeros.data(), params.size(), [&](int64_t i) { return ZeroBits(grid(i)); },
      [&](int64_t i, uint32_t zero) {
        if (ZeroBits(grid(i)) > 0) params[i].zero = static_cast<float>(zero);
      });
  return params;
}

}  // namespace

int64_t PackedRowBytes(int64_t cols, int bits) {
  return bits == 6 ? BytesForBits(4 * cols) + BytesForBits(2 * cols) : BytesForBits(cols * bits);
}

SizeAccount PackedSize(const GridSpec& spec, int64_t rows, int64_t cols, bool has_group_index,
                       absl::Span<const uint8_t> group_bits) {
  const int64_t grids = spec.GridCount(rows, cols);
  int64_t row_bytes = PackedRowBytes(cols, spec.bits), zero_bits = grids * ZeroBits(spec);
  if (!group_bits.empty()) {
    int64_t row_bits = 0;
    zero_bits = 0;
    for (size_t g = 0; g < group_bits.size(); ++g) {
      const GridSpec grid = GridOfGroup(spec, group_bits, g);
      row_bits += grid.bits * std::min(spec.group_size, cols - static_cast<int64_t>(g) * spec.group_size);
      zero_bits += rows * ZeroBits(grid);
    }
    row_bytes = BytesForBits(row_bits);
  }
  return {.weights = rows * cols,
          .code_bytes = rows * row_bytes,
          .scale_bytes = 2 * grids,
          .zero_bytes = BytesForBits(zero_bits),
          .group_index_bytes = has_group_index ? 2 * cols : 0,
          .group_width_bytes = static_cast<int64_t>(group_bits.size())};
}

SizeAccount PackedMatrix::size() const {
  return {.weights = rows * cols,
          .code_bytes = static_cast<int64_t>(codes.size()),
          .scale_bytes = static_cast<int64_t>(2 * scales.size()),
          .zero_bytes = static_cast<int64_t>(zeros.size()),
          .group_index_bytes = static_cast<int64_t>(2 * group_index.size()),
          .group_width_bytes = static_cast<int64_t>(group_bits.size())};
}

void RepackStream(PackedMatrix& p) {
  const int64_t stream = BytesForBits(p.cols * p.grid.bits), planes = PackedRowBytes(p.cols, p.grid.bits);
  if (p.grid.bits != 6 || static_cast<int64_t>(p.codes.size()) != p.rows * stream) return;
  std::vector<uint8_t> row(p.cols), codes(p.rows * planes);
  for (int64_t r = 0; r < p.rows; ++r) {
    UnpackBits(p.codes.data() + r * stream, p.cols, Always(6),
               [&](int64_t c, uint32_t code) { row[c] = static_cast<uint8_t>(code); });
    PackRow(row.data(), p.cols, 6, {}, codes.data() + r * planes);
  }
  p.codes = std::move(codes);
}

absl::StatusOr<PackedMatrix> Pack(const QuantizedMatrix& q) {
  EAQ_RETURN_IF_ERROR(ValidateQuantized(q));
  if (!q.group_of_column.empty() && q.groups_per_row() > 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat("packing: ", q.groups_per_row(), " groups per row; a stored group index allows 65536"));
  }
  const SizeAccount size = PackedSize(q.grid, q.rows, q.cols, !q.group_of_column.empty(), q.group_bits);
  PackedMatrix p;
  p.grid = q.grid;
  p.rows = q.rows;
  p.cols = q.cols;
  p.codes.resize(size.code_bytes);
  p.group_bits = q.group_bits;
  const std::vector<int> widths = ColumnBits(q.grid, q.group_bits, q.cols);
  const int64_t row_bytes = q.rows == 0 ? 0 : size.code_bytes / q.rows;
  for (int64_t r = 0; r < q.rows; ++r) {
    PackRow(q.codes.data() + r * q.cols, q.cols, q.grid.bits, widths, p.codes.data() + r * row_bytes);
  }
  p.scales.reserve(q.params.size());
  for (const GridParams& params : q.params) {
    p.scales.push_back(FloatToF16(params.scale));
    if (F16ToFloat(p.scales.back()) != params.scale) {
      return absl::InvalidArgumentError(absl::StrCat("packing: scale ", params.scale,
                                                     " is not a float16 value; grids for weights must come from "
                                                     "ParamsFromRange with ScaleStorage::kFloat16"));
    }
  }
  p.zeros.resize(size.zero_bytes);
  const auto zero_bits = [&](int64_t i) { return ZeroBits(q.GridOfGroup(i % q.groups_per_row())); };
  PackBits(
      q.params.size(), zero_bits, [&](int64_t i) { return zero_bits(i) > 0 ? q.params[i].zero : 0.0f; },
      p.zeros.data());
  p.group_index.assign(q.group_of_column.begin(), q.group_of_column.end());
  return p;
}

absl::Status ValidatePacked(const PackedMatrix& p) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(p.grid));
  if (p.rows < 0 || p.cols < 1) {
    return absl::InvalidArgumentError(absl::StrCat("packed weights have shape [", p.rows, ", ", p.cols, "]"));
  }
  EAQ_RETURN_IF_ERROR(Annotate(ValidateGroupBits(p.grid, p.cols, p.group_bits), "packed weights"));
  if (!p.group_bits.empty() && !p.group_index.empty()) {
    return absl::InvalidArgumentError("packed weights: group_index beside group_bits; expected one of them");
  }
  const SizeAccount expected = PackedSize(p.grid, p.rows, p.cols, !p.group_index.empty(), p.group_bits);
  const SizeAccount found = p.size();
  const auto check = [&](absl::string_view what, int64_t want, int64_t have) {
    if (want == have) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("packed weights [", p.rows, ", ", p.cols, "] ", p.grid.ToString(),
                                                   ": ", what, ": expected ", want, " bytes, found ", have));
  };
  EAQ_RETURN_IF_ERROR(check("codes", expected.code_bytes, found.code_bytes));
  EAQ_RETURN_IF_ERROR(check("scales", expected.scale_bytes, found.scale_bytes));
  EAQ_RETURN_IF_ERROR(check("zeros", expected.zero_bytes, found.zero_bytes));
  EAQ_RETURN_IF_ERROR(check("group index", expected.group_index_bytes, found.group_index_bytes));
  for (const uint16_t bits : p.scales) {
    const float scale = F16ToFloat(bits);
    if (!std::isfinite(scale) || scale == 0.0f) {
      return absl::InvalidArgumentError(absl::StrCat("packed weights: scale ", scale, " is 0 or not finite"));
    }
  }
  const int64_t groups = p.grid.GroupsPerRow(p.cols);
  for (const uint16_t group : p.group_index) {
    if (p.grid.granularity != Granularity::kGroup || group >= groups) {
      return absl::InvalidArgumentError(
          absl::StrCat("packed weights: group index ", group, " of ", groups, " groups (", p.grid.ToString(), ")"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<QuantizedMatrix> Unpack(const PackedMatrix& p) {
  EAQ_RETURN_IF_ERROR(ValidatePacked(p));
  QuantizedMatrix q;
  q.grid = p.grid;
  q.rows = p.rows;
  q.cols = p.cols;
  q.params = UnpackParams(p);
  q.codes.resize(p.rows * p.cols);
  q.group_bits = p.group_bits;
  const std::vector<int> widths = ColumnBits(p.grid, p.group_bits, p.cols);
  const int64_t row_bytes = p.rows == 0 ? 0 : static_cast<int64_t>(p.codes.size()) / p.rows;
  for (int64_t r = 0; r < p.rows; ++r) {
    UnpackRow(p.codes.data() + r * row_bytes, p.cols, p.grid.bits, widths, q.codes.data() + r * p.cols);
  }
  q.group_of_column.assign(p.group_index.begin(), p.group_index.end());
  return q;
}

void UnpackWeights(const PackedMatrix& p, MatrixView w) {
  const std::vector<GridParams> params = UnpackParams(p);
  const int64_t groups = p.grid.GroupsPerRow(p.cols);
  const std::vector<int> widths = ColumnBits(p.grid, p.group_bits, p.cols);
  const int64_t row_bytes = p.rows == 0 ? 0 : static_cast<int64_t>(p.codes.size()) / p.rows;
  const bool tensor = p.grid.granularity == Granularity::kTensor;
  const int64_t run = p.grid.granularity == Granularity::kGroup ? p.grid.group_size : p.cols;
  std::vector<uint8_t> codes(p.cols);
  for (int64_t r = 0; r < p.rows; ++r) {
    UnpackRow(p.codes.data() + r * row_bytes, p.cols, p.grid.bits, widths, codes.data());
    const GridParams* of_row = params.data() + (tensor ? 0 : r * groups);
    float* out = w.row(r);
    if (!p.group_index.empty()) {
      for (int64_t c = 0; c < p.cols; ++c) out[c] = DequantizeCode(codes[c], of_row[p.group_index[c]]);
      continue;
    }
    for (int64_t begin = 0, group = 0; begin < p.cols; begin += run, ++group) {
      const GridParams grid = of_row[group];
      const int64_t end = std::min(begin + run, p.cols);
#pragma omp simd
      for (int64_t c = begin; c < end; ++c) out[c] = DequantizeCode(codes[c], grid);
    }
  }
}

}  // namespace eaq

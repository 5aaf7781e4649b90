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

// Appends values of `bits` bits each, lowest bit first; the last byte is filled with zeros.
template <typename Get>
void PackBits(int64_t count, int bits, Get value, uint8_t* out) {
  uint32_t buffer = 0;
  int held = 0;
  for (int64_t i = 0; i < count; ++i) {
    buffer |= static_cast<uint32_t>(value(i)) << held;
    for (held += bits; held >= 8; held -= 8) {
      *out++ = static_cast<uint8_t>(buffer);
      buffer >>= 8;
    }
  }
  if (held > 0) *out = static_cast<uint8_t>(buffer);
}

template <typename Set>
void UnpackBits(const uint8_t* in, int64_t count, int bits, Set set) {
  const uint32_t mask = (1u << bits) - 1;
  uint32_t buffer = 0;
  int held = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (held < bits) {
      buffer |= static_cast<uint32_t>(*in++) << held;
      held += 8;
    }
    set(i, buffer & mask);
    buffer >>= bits;
    held -= bits;
  }
}

// Codes of a row, lowest bit first. Codes of 6 bits lie in two planes, the low 4 bits of all, then the high 2, each of
// which starts on a byte: neither plane has a code across two words.
void PackRow(const uint8_t* codes, int64_t cols, int bits, uint8_t* out) {
  if (bits != 6) {
    PackBits(
        cols, bits, [codes](int64_t c) { return codes[c]; }, out);
    return;
  }
  PackBits(
      cols, 4, [codes](int64_t c) { return codes[c] & 15; }, out);
  PackBits(
      cols, 2, [codes](int64_t c) { return codes[c] >> 4; }, out + BytesForBits(4 * cols));
}

void UnpackRow(const uint8_t* in, int64_t cols, int bits, uint8_t* codes) {
  if (bits != 6) {
    UnpackBits(in, cols, bits, [codes](int64_t c, uint32_t code) { codes[c] = static_cast<uint8_t>(code); });
    return;
  }
  UnpackBits(in, cols, 4, [codes](int64_t c, uint32_t low) { codes[c] = static_cast<uint8_t>(low); });
  UnpackBits(in + BytesForBits(4 * cols), cols, 2,
             [codes](int64_t c, uint32_t high) { codes[c] |= static_cast<uint8_t>(high << 4); });
}

std::vector<GridParams> UnpackParams(const PackedMatrix& p) {
  std::vector<GridParams> params(p.scales.size());
  for (size_t i = 0; i < params.size(); ++i) params[i] = {F16ToFloat(p.scales[i]), 1 << (p.grid.bits - 1)};
  if (!p.grid.symmetric()) {
    UnpackBits(p.zeros.data(), params.size(), p.grid.bits, [&](int64_t i, uint32_t zero) { params[i].zero = zero; });
  }
  return params;
}

}  // namespace

int64_t PackedRowBytes(int64_t cols, int bits) {
  return bits == 6 ? BytesForBits(4 * cols) + BytesForBits(2 * cols) : BytesForBits(cols * bits);
}

SizeAccount PackedSize(const GridSpec& spec, int64_t rows, int64_t cols, bool has_group_index) {
  const int64_t grids = spec.GridCount(rows, cols);
  return {.weights = rows * cols,
          .code_bytes = rows * PackedRowBytes(cols, spec.bits),
          .scale_bytes = 2 * grids,
          .zero_bytes = spec.symmetric() ? 0 : BytesForBits(grids * spec.bits),
          .group_index_bytes = has_group_index ? 2 * cols : 0};
}

SizeAccount PackedMatrix::size() const {
  return {.weights = rows * cols,
          .code_bytes = static_cast<int64_t>(codes.size()),
          .scale_bytes = static_cast<int64_t>(2 * scales.size()),
          .zero_bytes = static_cast<int64_t>(zeros.size()),
          .group_index_bytes = static_cast<int64_t>(2 * group_index.size())};
}

void RepackStream(PackedMatrix& p) {
  const int64_t stream = BytesForBits(p.cols * p.grid.bits), planes = PackedRowBytes(p.cols, p.grid.bits);
  if (p.grid.bits != 6 || static_cast<int64_t>(p.codes.size()) != p.rows * stream) return;
  std::vector<uint8_t> row(p.cols), codes(p.rows * planes);
  for (int64_t r = 0; r < p.rows; ++r) {
    UnpackBits(p.codes.data() + r * stream, p.cols, 6,
               [&](int64_t c, uint32_t code) { row[c] = static_cast<uint8_t>(code); });
    PackRow(row.data(), p.cols, 6, codes.data() + r * planes);
  }
  p.codes = std::move(codes);
}

absl::StatusOr<PackedMatrix> Pack(const QuantizedMatrix& q) {
  EAQ_RETURN_IF_ERROR(ValidateQuantized(q));
  if (!q.group_of_column.empty() && q.groups_per_row() > 65536) {
    return absl::InvalidArgumentError(
        absl::StrCat("packing: ", q.groups_per_row(), " groups per row; a stored group index allows 65536"));
  }
  const SizeAccount size = PackedSize(q.grid, q.rows, q.cols, !q.group_of_column.empty());
  PackedMatrix p;
  p.grid = q.grid;
  p.rows = q.rows;
  p.cols = q.cols;
  p.codes.resize(size.code_bytes);
  const int64_t row_bytes = PackedRowBytes(q.cols, q.grid.bits);
  for (int64_t r = 0; r < q.rows; ++r) {
    PackRow(q.codes.data() + r * q.cols, q.cols, q.grid.bits, p.codes.data() + r * row_bytes);
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
  if (!q.grid.symmetric()) {
    PackBits(
        q.params.size(), q.grid.bits, [&](int64_t i) { return q.params[i].zero; }, p.zeros.data());
  }
  p.group_index.assign(q.group_of_column.begin(), q.group_of_column.end());
  return p;
}

absl::Status ValidatePacked(const PackedMatrix& p) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(p.grid));
  if (p.rows < 0 || p.cols < 1) {
    return absl::InvalidArgumentError(absl::StrCat("packed weights have shape [", p.rows, ", ", p.cols, "]"));
  }
  const SizeAccount expected = PackedSize(p.grid, p.rows, p.cols, !p.group_index.empty());
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
  const int64_t row_bytes = PackedRowBytes(p.cols, p.grid.bits);
  for (int64_t r = 0; r < p.rows; ++r) {
    UnpackRow(p.codes.data() + r * row_bytes, p.cols, p.grid.bits, q.codes.data() + r * p.cols);
  }
  q.group_of_column.assign(p.group_index.begin(), p.group_index.end());
  return q;
}

void UnpackWeights(const PackedMatrix& p, MatrixView w) {
  const std::vector<GridParams> params = UnpackParams(p);
  const int64_t groups = p.grid.GroupsPerRow(p.cols);
  const int64_t row_bytes = PackedRowBytes(p.cols, p.grid.bits);
  const bool tensor = p.grid.granularity == Granularity::kTensor;
  const int64_t run = p.grid.granularity == Granularity::kGroup ? p.grid.group_size : p.cols;
  std::vector<uint8_t> codes(p.cols);
  for (int64_t r = 0; r < p.rows; ++r) {
    UnpackRow(p.codes.data() + r * row_bytes, p.cols, p.grid.bits, codes.data());
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

#include "eaq/quant/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

absl::Status CheckWeights(ConstMatrixView w) {
  if (w.cols < 1) return absl::InvalidArgumentError("weights to quantize have no columns");
  for (int64_t r = 0; r < w.rows; ++r) {
    if (AllFinite(w.row_span(r))) continue;
    int64_t c = 0;
    while (std::isfinite(w(r, c))) ++c;
    return absl::InvalidArgumentError(absl::StrCat("weights to quantize: entry [", r, ", ", c, "] of [", w.rows, ", ",
                                                   w.cols, "] is ", w(r, c), "; expected finite numbers"));
  }
  return absl::OkStatus();
}

absl::StatusOr<GridParams> FindGrid(absl::Span<const float> values, const GridSpec& spec, const ClipSearchSpec* clip) {
  if (spec.kind == GridKind::kBinary) {
    const GridParams params = BinaryParams(values);
    if (std::isfinite(params.scale)) return params;
    return absl::InvalidArgumentError(absl::StrCat("mean magnitude of weights needs the scale ", params.scale,
                                                   ", beyond float16's 65504, on grid ", spec.ToString()));
  }
  if (clip != nullptr) return SearchClip(values, spec, *clip);
  const Range range = RangeWithZero(values);
  return ParamsFromRange(spec, range.min, range.max, ScaleStorage::kFloat16);
}

void QuantizeRun(const float* w, int64_t n, GridParams p, int max_code, uint8_t* codes) {
  if (max_code == 1) {
    for (int64_t i = 0; i < n; ++i) codes[i] = QuantizeBinaryCode(w[i]);
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) codes[i] = QuantizeRangeCode(w[i], p, max_code);
}

}  // namespace

absl::StatusOr<std::vector<GridParams>> FindGrids(ConstMatrixView w, const GridSpec& spec, const ClipSearchSpec* clip,
                                                  absl::Span<const uint8_t> group_bits) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(spec));
  EAQ_RETURN_IF_ERROR(ValidateGroupBits(spec, w.cols, group_bits));
  if (clip != nullptr) EAQ_RETURN_IF_ERROR(ValidateClipSearch(*clip));
  EAQ_RETURN_IF_ERROR(CheckWeights(w));
  std::vector<GridParams> params;
  params.reserve(spec.GridCount(w.rows, w.cols));
  if (spec.granularity == Granularity::kTensor) {
    const Matrix all(w);
    EAQ_ASSIGN_OR_RETURN(params.emplace_back(), FindGrid(all.values(), spec, clip));
    return params;
  }
  const int64_t run = spec.granularity == Granularity::kGroup ? spec.group_size : w.cols;
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; c += run) {
      const auto values = w.row_span(r).subspan(c, std::min(run, w.cols - c));
      auto found = FindGrid(values, group_bits.empty() ? spec : WithBits(spec, group_bits[c / run]), clip);
      if (!found.ok()) return Annotate(found.status(), absl::StrCat("row ", r, ", columns from ", c));
      params.push_back(*found);
    }
  }
  return params;
}

absl::StatusOr<QuantizedMatrix> QuantizeOnGrids(ConstMatrixView w, const GridSpec& spec, std::vector<GridParams> params,
                                                absl::Span<const uint8_t> group_bits) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(spec));
  EAQ_RETURN_IF_ERROR(ValidateGroupBits(spec, w.cols, group_bits));
  EAQ_RETURN_IF_ERROR(CheckWeights(w));
  if (params.size() != spec.GridCount(w.rows, w.cols)) {
    return absl::InvalidArgumentError(absl::StrCat("grids for [", w.rows, ", ", w.cols, "] ", spec.ToString(),
                                                   ": expected ", spec.GridCount(w.rows, w.cols), ", found ",
                                                   params.size()));
  }
  QuantizedMatrix q;
  q.grid = spec;
  q.rows = w.rows;
  q.cols = w.cols;
  q.params = std::move(params);
  q.group_bits.assign(group_bits.begin(), group_bits.end());
  q.codes.resize(w.rows * w.cols);
  const int64_t run = spec.granularity == Granularity::kGroup ? spec.group_size : w.cols;
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; c += run) {
      QuantizeRun(w.row(r) + c, std::min(run, w.cols - c), q.ParamsAt(r, c), q.GridOfGroup(c / run).max_code(),
                  q.codes.data() + r * w.cols + c);
    }
  }
  return q;
}

absl::StatusOr<QuantizedMatrix> QuantizeNearest(ConstMatrixView w, const GridSpec& spec, const ClipSearchSpec* clip,
                                                absl::Span<const uint8_t> group_bits) {
  EAQ_ASSIGN_OR_RETURN(std::vector<GridParams> params, FindGrids(w, spec, clip, group_bits));
  return QuantizeOnGrids(w, spec, std::move(params), group_bits);
}

}  // namespace eaq

#include "eaq/quant/ratio_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/clip_search.h"

namespace eaq {
namespace {

// The grid of one row or group, whose values are finite.
absl::StatusOr<GridParams> FindOne(absl::Span<const float> values, const GridSpec& spec, const RatioSpec& ratio) {
  const Range range = RatioRange(values, ratio.zero_in_range);
  GridParams best = GridAtRatio(range, spec, ratio.search_from ? 1.0 : ratio.fixed, ratio.zero_in_range);
  if (!std::isfinite(best.scale)) {
    return absl::InvalidArgumentError(absl::StrCat("range [", range.min, ", ", range.max,
                                                   "] needs a scale beyond float16's 65504 on grid ", spec.ToString()));
  }
  if (!ratio.search_from) return best;
  const float unit = std::max(std::fabs(range.min), std::fabs(range.max));
  if (unit < std::numeric_limits<float>::min()) return best;  // only zeros: nothing to gain
  double best_error = std::numeric_limits<double>::infinity();
  for (int t = 0; t < kRatioCandidates; ++t) {
    const GridParams params = GridAtRatio(range, spec, RatioCandidate(*ratio.search_from, t), ratio.zero_in_range);
    const double error = GridError(values, params, spec.max_code(), ClipNorm::kMse, unit);
    if (error < best_error) {
      best_error = error;
      best = params;
    }
  }
  return best;
}

}  // namespace

double RatioCandidate(double first, int t) { return first + t * (1 - first) / (kRatioCandidates - 1); }

absl::Status ValidateRatio(const RatioSpec& ratio, const GridSpec& spec) {
  EAQ_RETURN_IF_ERROR(ValidateRangeGrid(spec, "ratio of a range"));
  if (!(ratio.fixed > 0 && ratio.fixed <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("fixed clip ratio of weights is ", ratio.fixed, "; expected above 0 and at most 1"));
  }
  if (ratio.search_from && !(*ratio.search_from > 0 && *ratio.search_from <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("ratio search starts at ", *ratio.search_from, "; expected above 0 and at most 1"));
  }
  if (ratio.search_from && ratio.fixed != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a fixed clip ratio ", ratio.fixed, " and a ratio search; expected one of them"));
  }
  if (!ratio.zero_in_range && spec.symmetric()) {
    return absl::InvalidArgumentError(absl::StrCat("zero_in_range is false on grid ", spec.ToString(),
                                                   "; expected an asymmetric grid: a symmetric one holds 0"));
  }
  return absl::OkStatus();
}

Range RatioRange(absl::Span<const float> values, bool zero_in_range) {
  if (zero_in_range || values.empty()) return RangeWithZero(values);
  const auto [min, max] = std::minmax_element(values.begin(), values.end());
  return {*min, *max};
}

GridParams GridAtRatio(Range range, const GridSpec& spec, double ratio, bool zero_in_range) {
  const float r = static_cast<float>(ratio);
  const float min = r * range.min, max = r * range.max;
  if (zero_in_range || spec.kind != GridKind::kAsymmetric || (min <= 0 && max >= 0)) {
    return ParamsFromRangeUnchecked(spec, min, max, ScaleStorage::kFloat16);
  }
  // scale = clamp((max - min) / (2^b - 1), 1e-5);  z = round(-min / scale), kept within the codes
  const float scale = RoundScaleToF16(std::max((max - min) / static_cast<float>(spec.max_code()), 1e-5f));
  const float zero = std::nearbyint(-min / scale);
  return {scale, std::clamp(zero, 0.0f, static_cast<float>(spec.max_code()))};
}

absl::StatusOr<std::vector<GridParams>> FindRatioGrids(ConstMatrixView w, const GridSpec& spec,
                                                       const RatioSpec& ratio) {
  EAQ_RETURN_IF_ERROR(ValidateRatio(ratio, spec));
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) {
      if (std::isfinite(w(r, c))) continue;
      return absl::InvalidArgumentError(absl::StrCat("weights to quantize: entry [", r, ", ", c, "] of [", w.rows, ", ",
                                                     w.cols, "] is ", w(r, c), "; expected finite numbers"));
    }
  }
  std::vector<GridParams> params;
  if (spec.granularity == Granularity::kTensor) {
    const Matrix all(w);
    EAQ_ASSIGN_OR_RETURN(params.emplace_back(), FindOne(all.values(), spec, ratio));
    return params;
  }
  const int64_t run = spec.granularity == Granularity::kGroup ? spec.group_size : w.cols;
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; c += run) {
      auto found = FindOne(w.row_span(r).subspan(c, std::min(run, w.cols - c)), spec, ratio);
      if (!found.ok()) return Annotate(found.status(), absl::StrCat("row ", r, ", columns from ", c));
      params.push_back(*found);
    }
  }
  return params;
}

}  // namespace eaq

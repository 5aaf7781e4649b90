#include "eaq/quant/salient_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/fake_quant.h"

namespace eaq {

absl::Status ValidateSalientSearch(const SalientSearchSpec& spec) {
  const bool sound = std::isfinite(spec.weight) && spec.weight >= 0 && std::isfinite(spec.deviations) &&
                     spec.deviations >= 0 && spec.range > 0 && spec.range < 1 && spec.steps >= 1;
  if (sound) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "salient search: weight ", spec.weight, ", deviations ", spec.deviations, ", range ", spec.range, ", steps ",
      spec.steps, "; expected weight and deviations of 0 or more, a range inside 0 .. 1", " and at least one step"));
}

std::vector<uint8_t> SalientWeights(ConstMatrixView w, absl::Span<const double> factor_diagonal, double deviations) {
  const int64_t n = w.rows * w.cols;
  std::vector<double> salience(n);
  double mean = 0, square = 0;
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) {
      const double ratio = w(r, c) / factor_diagonal[c];
      mean += salience[r * w.cols + c] = ratio * ratio;
    }
  }
  std::vector<uint8_t> salient(n, 0);
  if (n < 2) return salient;
  mean /= static_cast<double>(n);
  for (const double s : salience) square += (s - mean) * (s - mean);
  const double deviation = std::sqrt(square / static_cast<double>(n - 1));
  double least = std::numeric_limits<double>::infinity();
  for (const double s : salience) {
    if (std::fabs(s - mean) > deviations * deviation) least = std::min(least, s);
  }
  for (int64_t i = 0; i < n; ++i) salient[i] = salience[i] >= least;
  return salient;
}

absl::StatusOr<std::vector<GridParams>> SearchSalient(ConstMatrixView w, absl::Span<const double> factor_diagonal,
                                                      const GridSpec& grid, const SalientSearchSpec& spec) {
  EAQ_RETURN_IF_ERROR(ValidateSalientSearch(spec));
  GridSpec whole_row = grid;
  whole_row.granularity = Granularity::kChannel;
  whole_row.group_size = 0;
  EAQ_ASSIGN_OR_RETURN(std::vector<GridParams> best, FindGrids(w, whole_row));
  if (whole_row.kind == GridKind::kBinary) return best;
  const std::vector<uint8_t> salient = SalientWeights(w, factor_diagonal, spec.deviations);
  const int max_code = whole_row.max_code();
  std::vector<float> few, rest;
  for (int64_t r = 0; r < w.rows; ++r) {
    few.clear(), rest.clear();
    for (int64_t c = 0; c < w.cols; ++c) (salient[r * w.cols + c] != 0 ? few : rest).push_back(w(r, c));
    const Range range = RangeWithZero(w.row_span(r));
    const float unit = std::max(-range.min, range.max);
    if (unit < std::numeric_limits<float>::min()) continue;  // only zeros: nothing to gain
    double least = std::numeric_limits<double>::infinity();
    const auto attempt = [&](double p) {
      const auto factor = static_cast<float>(p);
      const GridParams params =
          ParamsFromRangeUnchecked(whole_row, factor * range.min, factor * range.max, ScaleStorage::kFloat16);
      if (!std::isfinite(params.scale)) return;
      const double error = GridError(rest, params, max_code, ClipNorm::kL24, unit) +
                           spec.weight * GridError(few, params, max_code, ClipNorm::kL24, unit);
      if (error < least) least = error, best[r] = params;
    };
    attempt(1);
    for (const double side : {1.0, -1.0}) {
      for (int i = 1; i <= spec.steps; ++i) attempt(1 + side * spec.range * i / spec.steps);
    }
  }
  return best;
}

}  // namespace eaq

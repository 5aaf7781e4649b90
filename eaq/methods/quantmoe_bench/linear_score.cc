#include "eaq/methods/quantmoe_bench/linear_score.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"

namespace eaq::quantmoe_bench {

absl::StatusOr<double> LinearScore(ConstMatrixView w) {
  std::vector<double> largest(w.cols, 0.0), sum(w.cols, 0.0);
  for (int64_t i = 0; i < w.rows; ++i) {
    for (int64_t j = 0; j < w.cols; ++j) {
      const double x = std::fabs(static_cast<double>(w.row(i)[j]));
      if (!std::isfinite(x)) {
        return absl::InvalidArgumentError(
            absl::StrCat("quantmoe_bench: weight [", i, ", ", j, "] is ", x, "; expected a number"));
      }
      largest[j] = std::max(largest[j], x);
      sum[j] += x;
    }
  }
  double score = 0;
  for (int64_t j = 0; j < w.cols; ++j) {
    if (sum[j] > 0) score = std::max(score, largest[j] / (sum[j] / static_cast<double>(w.rows)));
  }
  return score;
}

}  // namespace eaq::quantmoe_bench

#include "eaq/methods/mopeq/scores.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/line_clusters.h"

namespace eaq::mopeq {

absl::StatusOr<double> HessianTrace(ConstMatrixView w) {
  double squares = 0;
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) squares += static_cast<double>(w.row(r)[c]) * w.row(r)[c];
  }
  if (!(squares > 0) || !std::isfinite(squares)) {
    return absl::InvalidArgumentError(absl::StrCat("mopeq: the sum of the squared weights is ", squares,
                                                   "; expected a positive number (the trace is (n - 1) / its root)"));
  }
  return static_cast<double>(w.rows * w.cols - 1) / std::sqrt(squares);
}

std::vector<double> MinMax(absl::Span<const double> values) {
  std::vector<double> result(values.size(), 0.0);
  if (values.empty()) return result;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (*low == *high) return result;
  for (size_t i = 0; i < values.size(); ++i) result[i] = (values[i] - *low) / (*high - *low);
  return result;
}

std::vector<double> Hybrid(absl::Span<const double> frequency, absl::Span<const double> trace) {
  std::vector<double> result = MinMax(frequency);
  const std::vector<double> other = MinMax(trace);
  for (size_t i = 0; i < result.size(); ++i) result[i] *= other[i];
  return result;
}

absl::StatusOr<std::vector<int>> WidthsOfClusters(absl::Span<const double> scores, absl::Span<const int> widths) {
  EAQ_ASSIGN_OR_RETURN(std::vector<int> cluster, ClusterLine(scores, static_cast<int>(widths.size())));
  if (cluster.empty()) return cluster;
  const int top = *std::max_element(cluster.begin(), cluster.end());
  for (int& c : cluster) c = widths[widths.size() - 1 - (top - c)];
  return cluster;
}

}  // namespace eaq::mopeq

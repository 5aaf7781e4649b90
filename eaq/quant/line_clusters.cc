#include "eaq/quant/line_clusters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace eaq {

absl::StatusOr<std::vector<int>> ClusterLine(absl::Span<const double> values, int k) {
  if (k < 1) return absl::InvalidArgumentError(absl::StrCat("clustering into ", k, " clusters; expected at least 1"));
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return absl::InvalidArgumentError(absl::StrCat("clustering: value ", i, " is ", values[i], "; expected a number"));
  }
  // Distinct values, rising, and how often each occurs; centred, so that squares do not cancel.
  const int64_t n = values.size();
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return values[a] < values[b]; });
  std::vector<double> point;
  std::vector<int64_t> count;
  std::vector<int> place(n);
  for (const int64_t i : order) {
    if (point.empty() || values[i] != point.back()) point.push_back(values[i]), count.push_back(0);
    ++count.back();
    place[i] = static_cast<int>(point.size()) - 1;
  }
  const int64_t m = point.size();
  if (m == 0) return std::vector<int>();
  double mean = 0;
  for (int64_t p = 0; p < m; ++p) mean += point[p] * static_cast<double>(count[p]) / static_cast<double>(n);
  std::vector<double> weight(m + 1, 0), sum(m + 1, 0), square(m + 1, 0);
  for (int64_t p = 0; p < m; ++p) {
    const double x = point[p] - mean, w = static_cast<double>(count[p]);
    weight[p + 1] = weight[p] + w, sum[p + 1] = sum[p] + w * x, square[p + 1] = square[p] + w * x * x;
  }
  const auto spread = [&](int64_t from, int64_t to) {  // of points from .. to-1 around their mean
    const double w = weight[to] - weight[from], s = sum[to] - sum[from];
    return std::max(0.0, square[to] - square[from] - s * s / w);
  };
  const int64_t clusters = std::min<int64_t>(k, m);
  // least[c][p]: of the first p points in c clusters; begin[c][p]: where the last of these begins.
  std::vector<std::vector<double>> least(clusters + 1,
                                         std::vector<double>(m + 1, std::numeric_limits<double>::infinity()));
  std::vector<std::vector<int64_t>> begin(clusters + 1, std::vector<int64_t>(m + 1, 0));
  least[0][0] = 0;
  for (int64_t c = 1; c <= clusters; ++c) {
    for (int64_t p = c; p <= m; ++p) {
      for (int64_t b = p - 1; b >= c - 1; --b) {
        const double total = least[c - 1][b] + spread(b, p);
        if (total < least[c][p]) least[c][p] = total, begin[c][p] = b;
      }
    }
  }
  std::vector<int> cluster_of_point(m);
  int64_t end = m;
  for (int64_t c = clusters; c > 0; --c) {
    for (int64_t p = begin[c][end]; p < end; ++p) cluster_of_point[p] = static_cast<int>(c) - 1;
    end = begin[c][end];
  }
  std::vector<int> result(n);
  for (int64_t i = 0; i < n; ++i) result[i] = cluster_of_point[place[i]];
  return result;
}

}  // namespace eaq

#include "eaq/quant/fuzzy_clusters.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace eaq {
namespace {

// degree_k of VALUE, written as a softmax of -2 / (m - 1) log distance, which neither overflows nor divides by zero.
void SetDegrees(double value, const std::vector<double>& centre, double fuzzifier, double least,
                std::vector<double>& degree) {
  double top = -INFINITY, sum = 0;
  for (size_t k = 0; k < centre.size(); ++k) {
    degree[k] = -2 / (fuzzifier - 1) * std::log(std::max(std::abs(value - centre[k]), least));
    top = std::max(top, degree[k]);
  }
  for (double& d : degree) sum += d = std::exp(d - top);
  for (double& d : degree) d /= sum;
}

}  // namespace

absl::StatusOr<FuzzyClusters> FuzzyMeans(absl::Span<const double> values, int k, const FuzzyOptions& options) {
  if (values.empty() || k < 1 || !(options.fuzzifier > 1)) {
    return absl::InvalidArgumentError(absl::StrCat("fuzzy clusters: ", values.size(), " values, ", k,
                                                   " clusters, fuzzifier ", options.fuzzifier,
                                                   "; expected at least one of each and a fuzzifier above 1"));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("fuzzy clusters: value ", i, " is ", values[i], "; expected finite values"));
  }
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double spread = sorted.back() - sorted.front();
  FuzzyClusters result;
  result.degree.assign(values.size(), std::vector<double>(k, 1.0 / k));
  result.centre.assign(k, sorted.front());
  if (spread == 0) return result;
  for (int c = 0; c < k; ++c) {
    const double at = (c + 0.5) / k * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<size_t>(at);
    const size_t above = std::min(below + 1, sorted.size() - 1);
    result.centre[c] = sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
  }
  const double least = 1e-15 * spread;
  std::vector<double> degree(k);
  while (result.rounds < options.most_rounds) {
    double moved = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      SetDegrees(values[i], result.centre, options.fuzzifier, least, degree);
      for (int c = 0; c < k; ++c) moved += (degree[c] - result.degree[i][c]) * (degree[c] - result.degree[i][c]);
      result.degree[i] = degree;
    }
    ++result.rounds;
    for (int c = 0; c < k; ++c) {
      double weight = 0, sum = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        const double u = std::pow(result.degree[i][c], options.fuzzifier);
        weight += u;
        sum += u * values[i];
      }
      if (weight > 0) result.centre[c] = sum / weight;
    }
    if (std::sqrt(moved) < options.tolerance) break;
  }
  // Centres that have passed each other are put in order, their degrees with them.
  std::vector<int> order(k);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return result.centre[a] < result.centre[b]; });
  FuzzyClusters ordered = result;
  for (int c = 0; c < k; ++c) {
    ordered.centre[c] = result.centre[order[c]];
    for (size_t i = 0; i < values.size(); ++i) ordered.degree[i][c] = result.degree[i][order[c]];
  }
  return ordered;
}

std::vector<int> LowerOfOverlapping(const FuzzyClusters& clusters, double overlap) {
  std::vector<int> result;
  for (const std::vector<double>& degree : clusters.degree) {
    int best = static_cast<int>(std::max_element(degree.begin(), degree.end()) - degree.begin());
    if (best > 0 && degree[best] - degree[best - 1] < overlap) --best;
    result.push_back(best);
  }
  return result;
}

}  // namespace eaq

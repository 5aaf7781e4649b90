#include "eaq/methods/ewq/entropy.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq::ewq {
namespace {

template <typename F>
void ForEach(ConstMatrixView w, F f) {
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) f(static_cast<double>(w.row(r)[c]));
  }
}

struct Range {
  double low = 0, high = 0;
};
absl::StatusOr<Range> RangeOf(ConstMatrixView w) {
  if (w.rows * w.cols == 0) return absl::InvalidArgumentError("ewq: the entropy of no weights; expected at least one");
  Range range{w.row(0)[0], w.row(0)[0]};
  bool finite = true;
  ForEach(w, [&](double x) {
    finite = finite && std::isfinite(x);
    range.low = std::min(range.low, x), range.high = std::max(range.high, x);
  });
  if (finite) return range;
  return absl::InvalidArgumentError("ewq: a weight is not finite; expected numbers");
}

struct Moments {
  double mean = 0, deviation = 0;
};
Moments MomentsOf(absl::Span<const double> values) {
  Moments m;
  const auto n = static_cast<double>(values.size());
  for (const double v : values) m.mean += v / n;
  double square = 0;
  for (const double v : values) square += (v - m.mean) * (v - m.mean) / n;
  m.deviation = std::sqrt(square);
  return m;
}

}  // namespace

absl::StatusOr<double> SoftmaxEntropy(ConstMatrixView w) {
  EAQ_ASSIGN_OR_RETURN(const Range range, RangeOf(w));
  double sum = 0, entropy = 0;
  ForEach(w, [&](double x) { sum += std::exp(x - range.high); });
  ForEach(w, [&](double x) {
    const double p = std::exp(x - range.high) / sum;
    entropy -= p * std::log(p + 0.01);
  });
  return entropy;
}

absl::StatusOr<double> HistogramEntropy(ConstMatrixView w) {
  EAQ_ASSIGN_OR_RETURN(const Range range, RangeOf(w));
  if (range.low == range.high) return 0.0;
  constexpr int kBins = 256;
  std::array<int64_t, kBins> count{};
  ForEach(w, [&](double x) {
    const double at = (x - range.low) / (range.high - range.low) * kBins;
    ++count[std::min(static_cast<int>(at), kBins - 1)];
  });
  double entropy = 0;
  for (const int64_t c : count) {
    if (c == 0) continue;
    const double p = static_cast<double>(c) / static_cast<double>(w.rows * w.cols);
    entropy -= p * std::log2(p);
  }
  return entropy;
}

std::vector<int> ClassesByDeviation(absl::Span<const double> entropies, double deviations) {
  const Moments m = MomentsOf(entropies);
  std::vector<int> classes;
  for (const double h : entropies) classes.push_back(h <= m.mean - deviations * m.deviation ? 0 : h <= m.mean ? 1 : 2);
  return classes;
}

std::vector<int> ClassesByPercentile(absl::Span<const double> entropies) {
  std::vector<int> classes;
  if (entropies.empty()) return classes;
  const Moments m = MomentsOf(entropies);
  std::vector<double> sorted(entropies.begin(), entropies.end());
  std::sort(sorted.begin(), sorted.end());
  const double rank = 0.75 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const double above = sorted[std::min(below + 1, sorted.size() - 1)];
  const double third_quartile = sorted[below] + (rank - static_cast<double>(below)) * (above - sorted[below]);
  for (const double h : entropies) {
    classes.push_back(h >= third_quartile ? 2 : h >= m.mean - 0.65 * m.deviation ? 1 : 0);
  }
  return classes;
}

}  // namespace eaq::ewq

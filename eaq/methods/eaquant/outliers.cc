#include "eaq/methods/eaquant/outliers.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace eaq::eaquant {
namespace {

// Unbiased; 0 for one element.
double Variance(const double* v, size_t n) {
  if (n < 2) return 0;
  double mean = 0, sum = 0;
  for (size_t i = 0; i < n; ++i) mean += v[i] / static_cast<double>(n);
  for (size_t i = 0; i < n; ++i) sum += (v[i] - mean) * (v[i] - mean);
  return sum / static_cast<double>(n - 1);
}

// One side: factors f of channels whose E lies beyond the threshold. For the lower side everything is mirrored where
// that is the same (thresholds and quantiles), not where it is not (the split).
std::vector<double> Side(absl::Span<const double> e, const OutlierRule& rule, bool upper) {
  const double low = Quantile(e, 1 - rule.ratio), high = Quantile(e, rule.ratio);
  double threshold = upper ? high + 1.5 * (high - low) : low - 1.5 * (high - low);
  const auto beyond = [&](double value) { return upper ? value > threshold : value < threshold; };
  std::vector<double> candidates;
  std::copy_if(e.begin(), e.end(), std::back_inserter(candidates), beyond);
  if (candidates.size() > 1) threshold = SplitThreshold(candidates, upper);
  double normal = upper ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  for (const double value : e) {
    if (!beyond(value)) normal = upper ? std::max(normal, value) : std::min(normal, value);
  }
  std::vector<double> factors(e.size(), 1.0);
  const bool same_sign = upper ? normal > 0 : normal < 0;  // else the power is not a number
  if (!same_sign || !std::isfinite(normal)) return factors;
  for (size_t j = 0; j < e.size(); ++j) {
    if (beyond(e[j])) factors[j] = std::pow(e[j] / normal, rule.rate);
  }
  return factors;
}

}  // namespace

double Quantile(absl::Span<const double> values, double q) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(position), above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double SplitThreshold(std::vector<double> v, bool upper) {
  std::sort(v.begin(), v.end(), std::greater<>());
  double best = -std::numeric_limits<double>::infinity(), threshold = v[0];
  for (size_t t = 0; t + 1 < v.size(); ++t) {
    const double variance = upper ? Variance(v.data() + t + 1, v.size() - t - 1) : Variance(v.data(), t + 1);
    const double metric = std::fabs(v[t] - v[t + 1]) - variance;
    if (metric > best) {
      best = metric;
      threshold = upper ? v[t + 1] : v[t];
    }
  }
  return threshold;
}

std::vector<float> OutlierScales(absl::Span<const double> emax, absl::Span<const double> emin,
                                 const OutlierRule& rule) {
  if (emax.empty()) return {};
  const std::vector<double> positive = Side(emax, rule, true), negative = Side(emin, rule, false);
  std::vector<float> s(emax.size());
  for (size_t j = 0; j < s.size(); ++j) {
    const double factor = std::max(positive[j], negative[j]);
    s[j] = std::isfinite(factor) && factor > 0 ? static_cast<float>(factor) : 1.0f;
  }
  return s;
}

}  // namespace eaq::eaquant

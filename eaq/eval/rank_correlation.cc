#include "eaq/eval/rank_correlation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"

namespace eaq {
namespace {

constexpr size_t kExactPoints = 8;
constexpr int kDraws = 10000;
constexpr double kTie = 1e-12;  // rounding must not decide whether an order is as extreme as the one given

// Centred and scaled to length 1; empty when all are equal.
std::vector<double> Standardised(std::vector<double> ranks) {
  const double mean = std::accumulate(ranks.begin(), ranks.end(), 0.0) / static_cast<double>(ranks.size());
  double norm = 0;
  for (double& r : ranks) {
    r -= mean;
    norm += r * r;
  }
  if (norm == 0) return {};
  for (double& r : ranks) r /= std::sqrt(norm);
  return ranks;
}

}  // namespace

std::vector<double> MeanRanks(absl::Span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + 1 + end) / 2;
    begin = end;
  }
  return ranks;
}

absl::StatusOr<RankCorrelation> CorrelateRanks(absl::Span<const double> x, absl::Span<const double> y, uint64_t seed) {
  if (x.size() != y.size() || x.size() < 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank correlation of ", x.size(), " and ", y.size(), " values; expected as many, at least 3"));
  }
  for (const auto& side : {x, y}) {
    for (const double v : side) {
      if (!std::isfinite(v)) return absl::InvalidArgumentError(absl::StrCat("rank correlation: a value is ", v));
    }
  }
  const std::vector<double> a = Standardised(MeanRanks(x));
  std::vector<double> b = Standardised(MeanRanks(y));
  if (a.empty() || b.empty()) {
    return absl::InvalidArgumentError("rank correlation: all values of one side are equal; expected some order");
  }
  const auto rho = [&] { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); };
  RankCorrelation result;
  result.points = static_cast<int64_t>(x.size());
  result.rho = std::clamp(rho(), -1.0, 1.0);
  const double bound = std::fabs(result.rho) - kTie;
  int64_t extreme = 0, tried = 0;
  result.exact = x.size() <= kExactPoints;
  if (result.exact) {  // orders of equal ranks are counted once each, all equally often
    std::sort(b.begin(), b.end());
    do {
      extreme += std::fabs(rho()) >= bound;
      ++tried;
    } while (std::next_permutation(b.begin(), b.end()));
  } else {
    Rng rng(seed, "rank correlation");
    extreme = tried = 1;
    for (int draw = 0; draw < kDraws; ++draw) {
      for (size_t i = b.size() - 1; i > 0; --i) std::swap(b[i], b[rng.Below(i + 1)]);
      extreme += std::fabs(rho()) >= bound;
      ++tried;
    }
  }
  result.p_value = static_cast<double>(extreme) / static_cast<double>(tried);
  return result;
}

}  // namespace eaq

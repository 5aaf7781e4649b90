#include "eaq/eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

// Sign flips are enumerated up to 2^16.
constexpr int64_t kExactDocuments = 16;

absl::Status CheckWindows(const WindowValues& w, absl::string_view which) {
  if (w.value.size() != w.document.size()) {
    return absl::InvalidArgumentError(absl::StrCat("statistics: ", which, " has ", w.value.size(), " values but ",
                                                   w.document.size(), " documents; each window needs one"));
  }
  if (w.value.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("statistics: ", which, " has no windows; nothing to compare"));
  }
  for (size_t i = 0; i < w.value.size(); ++i) {
    if (!std::isfinite(w.value[i])) {
      return absl::InvalidArgumentError(absl::StrCat("statistics: ", which, ", window ", i, " of document '",
                                                     w.document[i], "' is ", w.value[i], "; expected a finite number"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSameDocuments(const WindowValues& a, const WindowValues& b) {
  if (a.document.size() != b.document.size()) {
    return absl::InvalidArgumentError(absl::StrCat("statistics: not the same windows: ", a.document.size(), " against ",
                                                   b.document.size(), "; paired values need identical windows"));
  }
  for (size_t i = 0; i < a.document.size(); ++i) {
    if (a.document[i] != b.document[i]) {
      return absl::InvalidArgumentError(absl::StrCat("statistics: not the same windows: window ", i,
                                                     " is of document '", a.document[i], "' on one side and '",
                                                     b.document[i], "' on the other"));
    }
  }
  return absl::OkStatus();
}

// D_g and n_g, documents in order of appearance.
struct Clusters {
  std::vector<double> sum;
  std::vector<double> count;
};

Clusters SumByDocument(const std::vector<double>& difference, const std::vector<std::string>& document) {
  Clusters c;
  std::map<absl::string_view, size_t> index;
  for (size_t i = 0; i < difference.size(); ++i) {
    const auto [it, is_new] = index.emplace(document[i], c.sum.size());
    if (is_new) {
      c.sum.push_back(0);
      c.count.push_back(0);
    }
    c.sum[it->second] += difference[i];
    c.count[it->second] += 1;
  }
  return c;
}

// The q-quantile of SORTED by linear interpolation between order statistics (type 7 of Hyndman & Fan 1996).
double Quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(position));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

void BootstrapInterval(const Clusters& c, const PairedOptions& options, Resampler& resampler, PairedResult& result) {
  const int64_t g = static_cast<int64_t>(c.sum.size());
  const std::vector<uint32_t>& indices = resampler.Indices(g, options.draws);
  std::vector<double> mean(static_cast<size_t>(options.draws));
  const uint32_t* at = indices.data();
  for (double& m : mean) {
    double sum = 0, count = 0;
    for (int64_t i = 0; i < g; ++i, ++at) {
      sum += c.sum[*at];
      count += c.count[*at];
    }
    m = sum / count;
  }
  std::sort(mean.begin(), mean.end());
  result.low = Quantile(mean, options.alpha / 2);
  result.high = Quantile(mean, 1 - options.alpha / 2);
}

void SignFlipTest(const Clusters& c, const PairedOptions& options, Resampler& resampler, PairedResult& result) {
  const int64_t g = static_cast<int64_t>(c.sum.size());
  double observed = 0, scale = 0;
  for (const double d : c.sum) {
    observed += d;
    scale += std::abs(d);
  }
  // Sums that are equal on paper may differ by rounding: at most G roundings of at most eps * sum |D|.
  const double threshold = std::abs(observed) - static_cast<double>(g) * 2.3e-16 * scale;
  int64_t hits = 0;
  if (g <= kExactDocuments) {
    const int64_t flips = int64_t{1} << g;
    for (int64_t mask = 0; mask < flips; ++mask) {
      double t = 0;
      for (int64_t i = 0; i < g; ++i) t += (mask >> i & 1) ? -c.sum[i] : c.sum[i];
      hits += std::abs(t) >= threshold;
    }
    result.exact = true;
    result.p_value = static_cast<double>(hits) / static_cast<double>(flips);
    return;
  }
  const int8_t* sign = resampler.Signs(g, options.draws).data();
  for (int draw = 0; draw < options.draws; ++draw) {
    double t = 0;
    for (int64_t i = 0; i < g; ++i, ++sign) t += *sign * c.sum[i];
    hits += std::abs(t) >= threshold;
  }
  result.exact = false;
  result.p_value = static_cast<double>(1 + hits) / static_cast<double>(1 + options.draws);
}

absl::Status CheckOptions(const PairedOptions& o) {
  if (!(o.margin >= 0) || !std::isfinite(o.margin)) {
    return absl::InvalidArgumentError(
        absl::StrCat("statistics: margin ", o.margin, "; expected nats per token, 0 or more"));
  }
  if (!(o.alpha > 0 && o.alpha < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("statistics: alpha ", o.alpha, "; expected between 0 and 1"));
  }
  if (o.draws < 100 || o.draws > 1000000) {
    return absl::InvalidArgumentError(absl::StrCat("statistics: ", o.draws, " draws; expected 100 .. 1000000"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kBetter:
      return "better";
    case Verdict::kWorse:
      return "worse";
    case Verdict::kEquivalent:
      return "equivalent";
    case Verdict::kUndecided:
      break;
  }
  return "undecided";
}

const std::vector<uint32_t>& Resampler::Indices(int64_t documents, int draws) {
  std::vector<uint32_t>& table = indices_[{documents, draws}];
  if (table.empty()) {
    Rng rng(seed_, absl::StrCat("statistics/bootstrap/", documents));
    table.resize(static_cast<size_t>(documents) * static_cast<size_t>(draws));
    for (uint32_t& index : table) index = static_cast<uint32_t>(rng.Below(static_cast<uint64_t>(documents)));
  }
  return table;
}

const std::vector<int8_t>& Resampler::Signs(int64_t documents, int draws) {
  std::vector<int8_t>& table = signs_[{documents, draws}];
  if (table.empty()) {
    Rng rng(seed_, absl::StrCat("statistics/signs/", documents));
    table.resize(static_cast<size_t>(documents) * static_cast<size_t>(draws));
    for (size_t i = 0; i < table.size();) {
      const uint64_t bits = rng.Next64();
      for (int bit = 0; bit < 64 && i < table.size(); ++bit, ++i) table[i] = (bits >> bit & 1) ? 1 : -1;
    }
  }
  return table;
}

absl::StatusOr<PairedResult> ComparePaired(const WindowValues& a, const WindowValues& b, const PairedOptions& options,
                                           Resampler& resampler) {
  EAQ_RETURN_IF_ERROR(CheckOptions(options));
  EAQ_RETURN_IF_ERROR(CheckWindows(a, "the first side"));
  EAQ_RETURN_IF_ERROR(CheckWindows(b, "the second side"));
  EAQ_RETURN_IF_ERROR(CheckSameDocuments(a, b));
  std::vector<double> difference(a.value.size());
  for (size_t i = 0; i < difference.size(); ++i) difference[i] = a.value[i] - b.value[i];
  const Clusters c = SumByDocument(difference, a.document);

  PairedResult r;
  r.windows = static_cast<int64_t>(difference.size());
  r.documents = static_cast<int64_t>(c.sum.size());
  const double n = static_cast<double>(r.windows), g = static_cast<double>(r.documents);
  r.mean = std::accumulate(difference.begin(), difference.end(), 0.0) / n;
  // se = sqrt(G/(G-1) sum_g (D_g - n_g m)^2) / N
  double squares = 0;
  for (size_t i = 0; i < c.sum.size(); ++i) {
    const double residual = c.sum[i] - c.count[i] * r.mean;
    squares += residual * residual;
  }
  r.standard_error = r.documents > 1 ? std::sqrt(g / (g - 1) * squares) / n : std::numeric_limits<double>::infinity();
  BootstrapInterval(c, options, resampler, r);
  SignFlipTest(c, options, resampler, r);
  r.p_holm = r.p_value;
  r.verdict = Decide(r, options);
  return r;
}

Verdict Decide(const PairedResult& result, const PairedOptions& options) {
  // One document says nothing about others: its bootstrap interval is a point.
  if (result.documents < 2) return Verdict::kUndecided;
  if (result.low >= -options.margin && result.high <= options.margin) return Verdict::kEquivalent;
  if (result.high < 0 && result.p_holm < options.alpha) return Verdict::kBetter;
  if (result.low > 0 && result.p_holm < options.alpha) return Verdict::kWorse;
  return Verdict::kUndecided;
}

absl::StatusOr<std::vector<double>> HolmAdjust(absl::Span<const double> p_values) {
  const size_t m = p_values.size();
  for (size_t i = 0; i < m; ++i) {
    if (!(p_values[i] >= 0 && p_values[i] <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("Holm correction: p value ", i, " is ", p_values[i], "; expected 0 .. 1"));
    }
  }
  std::vector<size_t> order(m);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p_values[i] < p_values[j]; });
  std::vector<double> adjusted(m);
  double largest = 0;
  for (size_t j = 0; j < m; ++j) {
    largest = std::max(largest, std::min(1.0, static_cast<double>(m - j) * p_values[order[j]]));
    adjusted[order[j]] = largest;
  }
  return adjusted;
}

absl::Status CorrectFamily(absl::Span<PairedResult* const> family, const PairedOptions& options) {
  std::vector<double> p;
  p.reserve(family.size());
  for (const PairedResult* member : family) p.push_back(member->p_value);
  EAQ_ASSIGN_OR_RETURN(const std::vector<double> adjusted, HolmAdjust(p));
  for (size_t i = 0; i < family.size(); ++i) {
    family[i]->p_holm = adjusted[i];
    family[i]->verdict = Decide(*family[i], options);
  }
  return absl::OkStatus();
}

absl::StatusOr<McNemarResult> McNemar(int64_t only_first, int64_t only_second) {
  if (only_first < 0 || only_second < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("McNemar: counts ", only_first, " and ", only_second, "; expected 0 or more"));
  }
  McNemarResult r;
  r.only_first = only_first;
  r.only_second = only_second;
  const double n = static_cast<double>(only_first) + static_cast<double>(only_second);
  if (n == 0) return r;
  const double k = static_cast<double>(std::min(only_first, only_second));
  // f(k) = C(n, k) / 2^n, and F(k) = f(k) (1 + k/(n-k+1) (1 + (k-1)/(n-k+2) (1 + ...)))
  const double f = std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) - n * std::log(2.0));
  double sum = 0, term = f;
  for (double i = k; i >= 0 && term > 1e-18 * sum; --i) {
    sum += term;
    term *= i / (n - i + 1);
  }
  r.p_exact = std::min(1.0, 2 * sum);
  r.p_mid = only_first == only_second ? 1 - f / 2 : std::min(1.0, 2 * sum - f);
  return r;
}

absl::StatusOr<McNemarResult> McNemar(const WindowValues& a, const WindowValues& b) {
  EAQ_RETURN_IF_ERROR(CheckWindows(a, "the first side"));
  EAQ_RETURN_IF_ERROR(CheckWindows(b, "the second side"));
  EAQ_RETURN_IF_ERROR(CheckSameDocuments(a, b));
  int64_t only_first = 0, only_second = 0;
  for (size_t i = 0; i < a.value.size(); ++i) {
    for (const double v : {a.value[i], b.value[i]}) {
      if (v == 0 || v == 1) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("McNemar: item ", i, " of '", a.document[i], "' is ", v, "; expected 1 (right) or 0 (wrong)"));
    }
    only_first += a.value[i] > b.value[i];
    only_second += b.value[i] > a.value[i];
  }
  return McNemar(only_first, only_second);
}

absl::StatusOr<SeedCombination> CombineSeeds(absl::Span<const WindowValues> seeds) {
  if (seeds.empty()) return absl::InvalidArgumentError("statistics: no seeds to combine; expected at least one");
  SeedCombination out;
  for (size_t s = 0; s < seeds.size(); ++s) {
    EAQ_RETURN_IF_ERROR(CheckWindows(seeds[s], absl::StrCat("seed ", s)));
    EAQ_RETURN_IF_ERROR(CheckSameDocuments(seeds[0], seeds[s]));
    const std::vector<double>& v = seeds[s].value;
    out.seed_mean.push_back(std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size()));
  }
  const double k = static_cast<double>(seeds.size());
  out.mean.document = seeds[0].document;
  out.mean.value.assign(seeds[0].value.size(), 0.0);
  for (size_t i = 0; i < out.mean.value.size(); ++i) {
    for (const WindowValues& seed : seeds) out.mean.value[i] += seed.value[i];
    out.mean.value[i] /= k;
  }
  if (seeds.size() > 1) {
    const double mean = std::accumulate(out.seed_mean.begin(), out.seed_mean.end(), 0.0) / k;
    double squares = 0;
    for (const double m : out.seed_mean) squares += (m - mean) * (m - mean);
    out.spread = std::sqrt(squares / (k - 1));
  }
  return out;
}

void AppendWindows(absl::string_view prefix, const WindowValues& part, WindowValues& whole) {
  whole.value.insert(whole.value.end(), part.value.begin(), part.value.end());
  for (const std::string& document : part.document) whole.document.push_back(absl::StrCat(prefix, "/", document));
}

}  // namespace eaq

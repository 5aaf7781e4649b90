#include "eaq/methods/moqa/layer_statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/quantized_matrix.h"

namespace eaq::moqa {
namespace {

constexpr Role kParts[] = {Role::kGate, Role::kUp, Role::kDown};
constexpr double kPremisePercent = 1;  // of the paper's claim, whatever the cache holds

// The COUNT rows of the largest scores, of equals the first; rising.
std::vector<int32_t> LargestRows(const std::vector<double>& score, int64_t count) {
  std::vector<int32_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score[a] > score[b]; });
  order.resize(std::min<size_t>(count, order.size()));
  std::sort(order.begin(), order.end());
  return order;
}

// ||W_c - Q_bits(W_c)||_2 of every row c.
absl::StatusOr<std::vector<double>> RowErrors(const Matrix& w, GridSpec grid, int bits, const QuantizeOps& ops) {
  grid.bits = bits;
  EAQ_ASSIGN_OR_RETURN(const NearestResult q, ops.Nearest(w.const_view(), grid, {}));
  const Matrix kept = Dequantize(q.weight);
  std::vector<double> error(w.rows());
  for (int64_t r = 0; r < w.rows(); ++r) {
    double sum = 0;
    for (int64_t c = 0; c < w.cols(); ++c) {
      const double d = static_cast<double>(w(r, c)) - kept(r, c);
      sum += d * d;
    }
    error[r] = std::sqrt(sum);
  }
  return error;
}

// Tokens of every expert, tokens with a sure gate, and how often experts meet.
void AddChoices(absl::Span<const ExpertRows> rows, absl::Span<const int> set, int sets, LayerStatistics& out) {
  const size_t experts = rows.size();
  out.tokens.assign(sets, std::vector<double>(experts, 0.0));
  out.sure.assign(sets, 0.0);
  out.co_activation.assign(experts * experts, 0.0);
  std::vector<double> all(sets, 0.0);  // tokens
  for (size_t w = 0; w < set.size(); ++w) {
    std::map<int32_t, std::vector<size_t>> chosen;  // token -> its experts
    std::map<int32_t, float> largest;               // and their largest gate
    for (size_t e = 0; e < experts; ++e) {
      for (int64_t i = rows[e].begin[w]; i < rows[e].begin[w + 1]; ++i) {
        chosen[rows[e].token[i]].push_back(e);
        float& gate = largest[rows[e].token[i]];
        gate = std::max(gate, rows[e].weight[i]);
        out.tokens[set[w]][e] += 1;
      }
    }
    all[set[w]] += static_cast<double>(chosen.size());
    for (const auto& [token, gate] : largest) out.sure[set[w]] += gate > 0.5f;
    for (const auto& [token, of_token] : chosen) {
      for (const size_t a : of_token) {
        for (const size_t b : of_token) out.co_activation[a * experts + b] += 1;
      }
    }
  }
  for (int d = 0; d < sets; ++d) out.sure[d] = all[d] > 0 ? out.sure[d] / all[d] : 0;
  std::vector<double> single(experts);
  for (size_t e = 0; e < experts; ++e) single[e] = out.co_activation[e * experts + e];
  for (size_t a = 0; a < experts; ++a) {
    for (size_t b = 0; b < experts; ++b) {
      double& rho = out.co_activation[a * experts + b];
      rho = rho > 0 ? rho / std::sqrt(single[a] * single[b]) : 0;
    }
  }
}

void AddSimilarity(const LayerParams& params, size_t experts, ThreadPool& pool, LayerStatistics& out) {
  const auto down = [&](size_t e) -> const Matrix& {
    return params.linears.at({params.layer, Role::kDown, static_cast<int>(e)}).weight;
  };
  out.similarity.assign(experts * experts, 0.0);
  pool.ParallelFor(experts, [&](int64_t a) {
    for (size_t b = 0; b < experts; ++b) {
      double product = 0, first = 0, second = 0;
      const Matrix &x = down(a), &y = down(b);
      for (int64_t i = 0; i < x.size(); ++i) {
        const double u = x.data()[i], v = y.data()[i];
        product += u * v, first += u * u, second += v * v;
      }
      out.similarity[a * experts + b] = first > 0 && second > 0 ? product / std::sqrt(first * second) : 0;
    }
  });
}

void PutLists(const std::vector<std::vector<double>>& lists, std::vector<double>& out) {
  for (const std::vector<double>& list : lists) out.insert(out.end(), list.begin(), list.end());
}

class Reader {
 public:
  explicit Reader(absl::Span<const double> numbers) : left_(numbers) {}
  std::vector<double> Take(size_t n) {
    ok_ = ok_ && n <= left_.size();
    if (!ok_) return {};
    const std::vector<double> taken(left_.begin(), left_.begin() + n);
    left_.remove_prefix(n);
    return taken;
  }
  // A length.
  size_t Count() {
    const std::vector<double> one = Take(1);
    ok_ = ok_ && one[0] >= 0 && one[0] < 1e9;
    return ok_ ? static_cast<size_t>(one[0]) : 0;
  }
  bool Finished() const { return ok_ && left_.empty(); }
  bool ok() const { return ok_; }

 private:
  absl::Span<const double> left_;
  bool ok_ = true;
};

}  // namespace

int64_t CachedRowCount(double percent, int64_t out) {
  return static_cast<int64_t>(std::ceil(percent * static_cast<double>(out) / 100 - 1e-9));
}

std::vector<double> LayerStatistics::Numbers() const {
  std::vector<double> out = {static_cast<double>(significance.size())};
  out.insert(out.end(), baseline.begin(), baseline.end());
  PutLists(significance, out);
  PutLists(tokens, out);
  for (const auto* list : {&sure, &co_activation, &similarity, &concentration}) {
    out.insert(out.end(), list->begin(), list->end());
  }
  out.push_back(top_share);
  out.push_back(static_cast<double>(rows.size()));
  for (const std::vector<int32_t>& list : rows) {
    out.push_back(static_cast<double>(list.size()));
    out.insert(out.end(), list.begin(), list.end());
  }
  return out;
}

absl::StatusOr<LayerStatistics> LayerStatistics::Parse(absl::Span<const double> numbers, int experts) {
  Reader in(numbers);
  LayerStatistics s;
  const size_t sets = in.Count(), n = experts;
  s.baseline = in.Take(n);
  for (size_t d = 0; d < sets && in.ok(); ++d) s.significance.push_back(in.Take(n));
  for (size_t d = 0; d < sets && in.ok(); ++d) s.tokens.push_back(in.Take(n));
  s.sure = in.Take(sets);
  s.co_activation = in.Take(n * n);
  s.similarity = in.Take(n * n);
  s.concentration = in.Take(sets * (sets - 1) / 2);
  for (const double share : in.Take(1)) s.top_share = share;
  const size_t lists = in.Count();
  for (size_t i = 0; i < lists && in.ok(); ++i) {
    const std::vector<double> list = in.Take(in.Count());
    s.rows.emplace_back(list.begin(), list.end());
  }
  if (in.Finished()) return s;
  return absl::InternalError(absl::StrCat("moqa: a survey of ", numbers.size(), " numbers is not one of ", experts,
                                          " experts and ", sets, " data sets"));
}

absl::StatusOr<LayerStatistics> MeasureLayer(const ModelConfig& config, const LayerParams& params,
                                             absl::Span<const ExpertRows> rows, absl::Span<const int> set, int sets,
                                             const SignificanceOptions& options, const CacheOptions& cache,
                                             ThreadPool& pool) {
  EAQ_ASSIGN_OR_RETURN(const ChannelSignificances measured,
                       SignificanceOfChannels(params, rows, set, sets, options, pool));
  const size_t experts = rows.size();
  LayerStatistics out;
  out.significance = measured.experts;
  out.baseline.assign(experts, 0.0);
  for (const std::vector<double>& of_set : out.significance) {
    for (size_t e = 0; e < experts; ++e) out.baseline[e] += of_set[e] / static_cast<double>(sets);
  }
  AddChoices(rows, set, sets, out);
  AddSimilarity(params, experts, pool, out);

  const size_t lists = cache.by_damage ? cache.widths.size() : 1, pairs = static_cast<size_t>(sets) * (sets - 1) / 2;
  out.rows.resize(experts * 3 * lists);
  std::vector<double> top(pairs, 0.0), whole(pairs, 0.0);
  double top_rows = 0, all_rows = 0;
  for (size_t e = 0; e < experts; ++e) {
    for (int m = 0; m < 3; ++m) {
      const Matrix& weight = params.linears.at({params.layer, kParts[m], static_cast<int>(e)}).weight;
      std::vector<double> range(weight.rows());
      for (int64_t c = 0; c < weight.rows(); ++c) {
        double low = INFINITY, high = -INFINITY;
        for (int d = 0; d < sets; ++d) {
          low = std::min(low, measured.channels[d][e][m][c]);
          high = std::max(high, measured.channels[d][e][m][c]);
        }
        range[c] = high - low;
      }
      const std::vector<int32_t> premise = LargestRows(range, CachedRowCount(kPremisePercent, weight.rows()));
      top_rows += static_cast<double>(premise.size());
      all_rows += static_cast<double>(weight.rows());
      size_t pair = 0;
      for (int a = 0; a < sets; ++a) {
        for (int b = a + 1; b < sets; ++b, ++pair) {
          const auto moved = [&](int64_t c) {
            return std::abs(measured.channels[a][e][m][c] - measured.channels[b][e][m][c]);
          };
          for (int64_t c = 0; c < weight.rows(); ++c) whole[pair] += moved(c);
          for (const int32_t c : premise) top[pair] += moved(c);
        }
      }
      const int64_t count = CachedRowCount(cache.percent, weight.rows());
      for (size_t l = 0; l < lists; ++l) {
        std::vector<double> score = range;
        if (cache.by_damage) {
          const auto error = RowErrors(weight, options.grid, cache.widths[l], *options.ops);
          EAQ_RETURN_IF_ERROR(
              Annotate(error.status(), LinearId{params.layer, kParts[m], static_cast<int>(e)}.ToString()));
          for (size_t c = 0; c < score.size(); ++c) score[c] *= (*error)[c];
        }
        out.rows[(e * 3 + m) * lists + l] = LargestRows(score, count);
      }
    }
  }
  for (size_t p = 0; p < pairs; ++p) out.concentration.push_back(whole[p] > 0 ? top[p] / whole[p] : 0);
  out.top_share = all_rows > 0 ? top_rows / all_rows : 0;
  return out;
}

}  // namespace eaq::moqa

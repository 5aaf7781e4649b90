#include "eaq/methods/eaquant/alignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/quant/ratio_search.h"
#include "kernels/backend.h"

namespace eaq::eaquant {
namespace {

using Objective = AlignedRouter;

// Squared errors of the logits, summed over the tokens: one a row of the weight.
std::vector<double> LogitErrors(const Matrix& z, const Matrix& zq) {
  std::vector<double> errors(z.cols(), 0.0);
  for (int64_t t = 0; t < z.rows(); ++t)
    for (int64_t e = 0; e < z.cols(); ++e) errors[e] += std::pow(double{z(t, e)} - zq(t, e), 2);
  return errors;
}

std::vector<double> WeightErrors(ConstMatrixView w, const Matrix& q) {
  std::vector<double> errors(w.rows, 0.0);
  for (int64_t e = 0; e < w.rows; ++e)
    for (int64_t c = 0; c < w.cols; ++c) errors[e] += std::pow(double{w(e, c)} - q(e, c), 2);
  return errors;
}

bool Shared(Objective::Objective objective) {
  return objective == Objective::MSE_KL_TOP || objective == Objective::KL_TOP;
}

// p log(p/q) with 0 log 0 = 0, from logarithms.
double Term(double log_p, double log_q) {
  const double p = std::exp(log_p);
  return p == 0 ? 0 : p * (log_p - log_q);
}

// The scores of one candidate: one of all rows, or one a row.
absl::StatusOr<std::vector<double>> Score(ConstMatrixView w, const Matrix& a, const Matrix& z, const Matrix& candidate,
                                          const AlignmentOptions& options, const QuantizeOps& ops) {
  if (options.objective == Objective::WEIGHT_MSE) return WeightErrors(w, candidate);
  EAQ_ASSIGN_OR_RETURN(const Matrix zq, ops.Product(a.const_view(), candidate.view()));
  std::vector<double> errors = LogitErrors(z, zq);
  if (options.objective == Objective::LINEAR) return errors;
  const double kl = KlTop(z, zq, options.top, options.top_sum);
  if (options.objective == Objective::KL_TOP) return std::vector<double>{kl};
  if (options.objective == Objective::MSE_KL_TOP) {
    const double sum = std::accumulate(errors.begin(), errors.end(), 0.0);
    return std::vector<double>{sum / static_cast<double>(z.size()) + kl};
  }
  for (double& error : errors) error += kl;
  return errors;
}

absl::Status CheckInputs(ConstMatrixView w, const Matrix& a, const GridSpec& grid, const AlignmentOptions& options) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(grid));
  EAQ_RETURN_IF_ERROR(ValidateRatio({.search_from = options.first_ratio}, grid));
  if (grid.granularity != Granularity::kChannel) {
    return absl::InvalidArgumentError(absl::StrCat("aligned router on grid ", grid.ToString(),
                                                   "; expected one grid a row: granularity: PER_CHANNEL"));
  }
  if (options.top < 0 || options.top > w.rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("aligned router with a top set of ", options.top, "; expected 0 .. ", w.rows, ", the experts"));
  }
  if (options.objective != Objective::WEIGHT_MSE && a.rows() == 0) {
    return absl::InvalidArgumentError("aligned router without calibration tokens; expected at least one");
  }
  for (int64_t e = 0; e < w.rows; ++e) {
    if (AllFinite(w.row_span(e))) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("aligned router: NaN or infinity in row ", e, " of the weight; expected finite numbers"));
  }
  if (!AllFinite(a.values())) {
    return absl::InvalidArgumentError("aligned router: NaN or infinity among the rows that the router reads");
  }
  return absl::OkStatus();
}

}  // namespace

double KlTop(const Matrix& z, const Matrix& zq, int64_t top, AlignedRouter::TopSum sum) {
  const int64_t experts = z.cols();
  if (z.rows() == 0 || top == 0) return 0;
  std::vector<int32_t> set(top);
  double total = 0;
  for (int64_t t = 0; t < z.rows(); ++t) {
    kernels::TopK(z.row(t), experts, top, set.data());
    const double log_z = kernels::LogSumExp(z.row(t), experts), log_zq = kernels::LogSumExp(zq.row(t), experts);
    double kl = 0, p_set = 0, q_set = 0;
    for (const int32_t i : set) {
      const double log_p = z(t, i) - log_z, log_q = zq(t, i) - log_zq;
      kl += Term(log_p, log_q);
      p_set += std::exp(log_p);
      q_set += std::exp(log_q);
    }
    // sum of (p/P) log((p/P)/(q/Q)) = (sum p log(p/q)) / P - log(P/Q)
    if (sum == AlignedRouter::RENORMALIZED) kl = kl / p_set - std::log(p_set / q_set);
    if (sum == AlignedRouter::TAIL_BUCKET && top < experts) {
      // Sums of the others themselves: 1 - P would cancel.
      double p_rest = 0, q_rest = 0;
      std::vector<bool> inside(experts, false);
      for (const int32_t i : set) inside[i] = true;
      for (int64_t i = 0; i < experts; ++i) {
        if (inside[i]) continue;
        p_rest += std::exp(z(t, i) - log_z);
        q_rest += std::exp(zq(t, i) - log_zq);
      }
      kl += Term(std::log(p_rest), std::log(q_rest));
    }
    total += kl;
  }
  return total / static_cast<double>(z.rows());
}

int64_t TopSize(int64_t k, int64_t experts, double alpha_top) {
  return k + static_cast<int64_t>(std::floor(alpha_top * static_cast<double>(experts - k)));
}

absl::StatusOr<RouterAlignment> AlignRouter(ConstMatrixView w, const Matrix& a, const GridSpec& grid,
                                            const AlignmentOptions& options, const QuantizeOps& ops) {
  EAQ_RETURN_IF_ERROR(CheckInputs(w, a, grid, options));
  const bool zero_in_range = grid.symmetric();
  EAQ_ASSIGN_OR_RETURN(const Matrix z, ops.Product(a.const_view(), w));
  const size_t scores = Shared(options.objective) ? 1 : w.rows;
  std::vector<double> best(scores, std::numeric_limits<double>::infinity());
  RouterAlignment result;
  result.grids.resize(w.rows);
  result.ratios.assign(scores, 0.0);
  for (int t = 0; t < kRatioCandidates; ++t) {
    const double ratio = RatioCandidate(options.first_ratio, t);
    std::vector<GridParams> grids(w.rows);
    for (int64_t e = 0; e < w.rows; ++e) {
      grids[e] = GridAtRatio(RatioRange(w.row_span(e), zero_in_range), grid, ratio, zero_in_range);
    }
    EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix q, ops.OnGrids(w, grid, grids));
    EAQ_ASSIGN_OR_RETURN(const std::vector<double> score, Score(w, a, z, Dequantize(q), options, ops));
    for (size_t i = 0; i < scores; ++i) {
      if (!(score[i] < best[i])) continue;  // NaN never wins
      best[i] = score[i];
      result.ratios[i] = ratio;
      if (scores == 1) result.grids = grids;
      if (scores > 1) result.grids[i] = grids[i];
    }
  }
  for (const double score : best) {
    if (std::isfinite(score)) continue;
    return absl::InvalidArgumentError(absl::StrCat("aligned router: no clip ratio from ", options.first_ratio,
                                                   " to 1 has a finite score; the logits overflow"));
  }
  return result;
}

}  // namespace eaq::eaquant

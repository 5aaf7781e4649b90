#include "eaq/quant/gptq.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/gptq_rounder.h"
#include "third_party/eigen/dense.h"

namespace eaq {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using RowMajorXd = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int kDampingAttempts = 6;
// A pivot this far below the largest diagonal entry is rounding noise: the factor would be garbage.
constexpr double kSmallestPivot = 1e-13;

// U upper triangular with U^T U = H^-1, for symmetric positive definite H.
// Turn H upside down (J H J = L L^T); then H = M M^T with M = J L J upper triangular, hence H^-1 = M^-T M^-1 and
// U = M^-1 = J L^-1 J: one factorisation and one triangular inverse. False if H is not positive definite.
bool InverseFactor(const MatrixXd& h, MatrixXd* u) {
  const Eigen::LLT<MatrixXd> llt(h.reverse());
  if (llt.info() != Eigen::Success) return false;
  const VectorXd pivots = llt.matrixLLT().diagonal().array().square();
  if (!(pivots.minCoeff() > kSmallestPivot * h.diagonal().maxCoeff())) return false;  // false for NaN as well
  const MatrixXd inverse = llt.matrixL().solve(MatrixXd::Identity(h.rows(), h.cols()));
  *u = inverse.reverse();
  return u->allFinite();
}

absl::Status CheckInput(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec, const GptqOptions& options) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(spec));
  if (hessian.size != w.cols || hessian.values.size() != w.cols * w.cols) {
    return absl::InvalidArgumentError(absl::StrCat("GPTQ: second moments are [", hessian.size, ", ", hessian.size,
                                                   "] for weights [", w.rows, ", ", w.cols, "]; expected [", w.cols,
                                                   ", ", w.cols, "]"));
  }
  if (!(options.damping >= 0) || !std::isfinite(options.damping)) {
    return absl::InvalidArgumentError(absl::StrCat("GPTQ: damping ", options.damping, "; expected 0 or more"));
  }
  if (options.block < 1) {
    return absl::InvalidArgumentError(absl::StrCat("GPTQ: block ", options.block, "; expected 1 or more"));
  }
  EAQ_RETURN_IF_ERROR(Annotate(ValidateGroupBits(spec, w.cols, options.group_bits), "GPTQ"));
  if (options.salient) {
    EAQ_RETURN_IF_ERROR(ValidateSalientSearch(*options.salient));
    if (spec.granularity != Granularity::kGroup) {
      return absl::InvalidArgumentError(
          absl::StrCat("GPTQ: salient search on grid ", spec.ToString(), "; expected a grid per group"));
    }
  }
  if (!options.group_bits.empty() && options.act_order && !options.static_groups) {
    return absl::InvalidArgumentError(
        "GPTQ: widths of groups with act_order and groups found on the way, whose columns are not consecutive; "
        "expected "
        "static_groups, or no act_order");
  }
  for (const double value : hessian.values) {
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          "GPTQ: NaN or infinity in the second moments; the calibration inputs of this linear were not finite");
    }
  }
  return absl::OkStatus();
}

// Of values[rows, columns of one group] on GRID, whatever its granularity.
absl::StatusOr<std::vector<GridParams>> GridsOfGroup(const Matrix& values, const VectorXd& factor_diagonal,
                                                     GridSpec grid, const GptqOptions& options) {
  if (options.salient) {
    return SearchSalient(values.const_view(), absl::MakeConstSpan(factor_diagonal.data(), factor_diagonal.size()), grid,
                         *options.salient);
  }
  grid.granularity = Granularity::kChannel;
  grid.group_size = 0;
  return FindGrids(values.const_view(), grid, options.clip ? &*options.clip : nullptr);
}

// Everything about one solve, in the order in which columns are visited ("positions"; perm maps them to columns).
class Solver {
 public:
  Solver(ConstMatrixView w, const GridSpec& spec, const GptqOptions& options, std::vector<Index> perm)
      : spec_(spec),
        options_(options),
        rows_(w.rows),
        cols_(w.cols),
        perm_(std::move(perm)),
        dynamic_groups_(spec.granularity == Granularity::kGroup && !options.static_groups) {
    work_.resize(rows_, cols_);
    for (Index i = 0; i < cols_; ++i) {
      for (Index r = 0; r < rows_; ++r) work_(r, i) = w(r, perm_[i]);
    }
    out_.grid = spec;
    out_.rows = rows_;
    out_.cols = cols_;
    out_.codes.resize(rows_ * cols_);
    out_.group_bits = options.group_bits;
  }

  // `grids`: all of them (as FindGrids returns); ignored when groups are found on the way.
  absl::StatusOr<QuantizedMatrix> Run(const MatrixXd& u, std::vector<GridParams> grids) {
    if (dynamic_groups_) {
      out_.params.resize(spec_.GridCount(rows_, cols_));
      if (!std::is_sorted(perm_.begin(), perm_.end())) out_.group_of_column.resize(cols_);
    } else {
      out_.params = std::move(grids);
    }
    MatrixXd errors(rows_, std::min<Index>(options_.block, cols_));
    for (Index begin = 0; begin < cols_; begin += options_.block) {
      const Index end = std::min<Index>(begin + options_.block, cols_);
      if (options_.stale_group_grids && dynamic_groups_) stale_ = work_;
      for (Index i = begin; i < end; ++i) {
        if (dynamic_groups_ && i % spec_.group_size == 0) {
          EAQ_RETURN_IF_ERROR(FindGroup(i, begin, end, u, errors));
        }
        RoundColumn(i, u(i, i), errors.col(i - begin));
        // W[:, i+1 : end] -= e U[i, i+1 : end]
        const Index rest = end - i - 1;
        if (rest > 0) work_.middleCols(i + 1, rest).noalias() -= errors.col(i - begin) * u.row(i).segment(i + 1, rest);
      }
      // W[:, end:] -= E U[begin : end, end:]
      const Index rest = cols_ - end;
      if (rest > 0) {
        work_.rightCols(rest).noalias() -= errors.leftCols(end - begin) * u.block(begin, end, end - begin, rest);
      }
    }
    return std::move(out_);
  }

 private:
  // The grids of the group that starts at position i, from the weights as they are now. Columns of the group that lie
  // in later blocks lack this block's updates so far (errors of positions begin .. i-1): they are added here to a copy.
  absl::Status FindGroup(Index i, Index begin, Index end, const MatrixXd& u, const MatrixXd& errors) {
    const Index size = std::min<Index>(spec_.group_size, cols_ - i);
    MatrixXd now = options_.stale_group_grids ? stale_.middleCols(i, size) : work_.middleCols(i, size);
    const Index beyond = i + size - end;
    if (!options_.stale_group_grids && beyond > 0 && i > begin) {
      now.rightCols(beyond).noalias() -= errors.leftCols(i - begin) * u.block(begin, end, i - begin, beyond);
    }
    Matrix values(rows_, size);
    for (Index c = 0; c < size; ++c) {
      for (Index r = 0; r < rows_; ++r) values(r, c) = static_cast<float>(now(r, c));
    }
    const Index group = i / spec_.group_size;
    EAQ_ASSIGN_OR_RETURN(const std::vector<GridParams> found,
                         GridsOfGroup(values, u.diagonal().segment(i, size), out_.GridOfGroup(group), options_));
    for (Index r = 0; r < rows_; ++r) out_.params[r * out_.groups_per_row() + group] = found[r];
    if (!out_.group_of_column.empty()) {
      for (Index c = i; c < i + size; ++c) out_.group_of_column[perm_[c]] = static_cast<int32_t>(group);
    }
    return absl::OkStatus();
  }

  // q = nearest(w), e = (w - q) / U_ii for the column at position i.
  void RoundColumn(Index i, double u_ii, Eigen::Ref<VectorXd> error) {
    const Index column = perm_[i];
    const int max_code =
        out_.group_bits.empty() ? spec_.max_code() : out_.GridOfGroup(column / spec_.group_size).max_code();
    for (Index r = 0; r < rows_; ++r) {
      const GridParams p = out_.ParamsAt(r, column);
      const uint8_t code = QuantizeCode(static_cast<float>(work_(r, i)), p, max_code);
      out_.codes[r * cols_ + column] = code;
      error[r] = (work_(r, i) - DequantizeCode(code, p)) / u_ii;
    }
  }

  const GridSpec spec_;
  const GptqOptions options_;
  const Index rows_, cols_;
  const std::vector<Index> perm_;
  const bool dynamic_groups_;
  MatrixXd work_;   // [rows, positions]: weights with the updates so far
  MatrixXd stale_;  // work_ at the start of the block
  QuantizedMatrix out_;
};

// H[perm, perm] with empty diagonal entries set to `fill`. (The reference sets 1. Such a column is uncoupled from all
// others, so any positive number gives the same codes; the mean of the others keeps the scale of H out of it.)
MatrixXd Permuted(const Hessian& hessian, const std::vector<Index>& perm, double fill) {
  const Index n = hessian.size;
  MatrixXd h(n, n);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) h(i, j) = hessian.at(perm[i], perm[j]);
    if (h(j, j) == 0.0) h(j, j) = fill;
  }
  return h;
}

struct Factor {
  MatrixXd u;  // of H[perm, perm]
  double damping = 0;
  // U_ii in the order of columns.
  VectorXd Diagonal(const std::vector<Index>& perm) const {
    VectorXd diagonal(u.rows());
    for (Index i = 0; i < u.rows(); ++i) diagonal[perm[i]] = u(i, i);
    return diagonal;
  }
};

// Null: not at any damping. Some column of HESSIAN must have been seen.
std::optional<Factor> Factorise(const Hessian& hessian, const std::vector<Index>& perm, double damping) {
  double mean_diagonal = 0;
  int64_t dead = 0;
  for (Index j = 0; j < hessian.size; ++j) {
    dead += hessian.at(j, j) == 0.0;
    mean_diagonal += hessian.at(j, j);
  }
  mean_diagonal /= static_cast<double>(hessian.size - dead);
  MatrixXd h = Permuted(hessian, perm, mean_diagonal);
  const VectorXd diagonal = h.diagonal();
  Factor factor;
  for (int attempt = 0; attempt < kDampingAttempts; ++attempt) {
    h.diagonal() = diagonal.array() + damping * mean_diagonal;
    factor.damping = damping;
    if (InverseFactor(h, &factor.u)) return factor;
    damping = damping > 0 ? damping * 10 : 1e-6;
  }
  return std::nullopt;
}

// The grids of all groups of WEIGHTS as they come, [rows, groups].
absl::StatusOr<std::vector<GridParams>> SalientGrids(const Matrix& weights, const GridSpec& spec,
                                                     const GptqOptions& options, const VectorXd& factor_diagonal) {
  QuantizedMatrix shape;
  shape.grid = spec;
  shape.cols = weights.cols();
  shape.group_bits = options.group_bits;
  const Index groups = shape.groups_per_row();
  std::vector<GridParams> grids(weights.rows() * groups);
  for (Index g = 0; g < groups; ++g) {
    const Index begin = g * spec.group_size, size = std::min<Index>(spec.group_size, weights.cols() - begin);
    Matrix values(weights.rows(), size);
    for (Index r = 0; r < weights.rows(); ++r) {
      for (Index c = 0; c < size; ++c) values(r, c) = weights(r, begin + c);
    }
    EAQ_ASSIGN_OR_RETURN(const std::vector<GridParams> found,
                         GridsOfGroup(values, factor_diagonal.segment(begin, size), shape.GridOfGroup(g), options));
    for (Index r = 0; r < weights.rows(); ++r) grids[r * groups + g] = found[r];
  }
  return grids;
}

// Whether GptqColumns can say it.
absl::Status CheckElsewhere(const GridSpec& spec, const GptqOptions& options) {
  if (spec.kind == GridKind::kBinary || !options.group_bits.empty() ||
      (spec.granularity == Granularity::kGroup && !options.static_groups)) {
    return absl::UnimplementedError(absl::StrCat("GPTQ: columns of ", spec.ToString(),
                                                 " rounded elsewhere; expected grids that are all known before the "
                                                 "first column, of one width, not binary"));
  }
  return absl::OkStatus();
}

// The codes of a problem whose grids are all known, by ROUND.
absl::StatusOr<QuantizedMatrix> RoundElsewhere(const Matrix& weights, const GridSpec& spec,
                                               const std::vector<Index>& perm, const MatrixXd& u,
                                               std::vector<GridParams> grids, const GptqRounder& round) {
  const RowMajorXd rows = u;
  const std::vector<int32_t> order(perm.begin(), perm.end());
  GptqColumns columns;
  columns.weights = weights.const_view();
  columns.grid = spec;
  columns.grids = grids;
  columns.order = order;
  columns.u = absl::MakeConstSpan(rows.data(), rows.size());
  QuantizedMatrix result;
  EAQ_ASSIGN_OR_RETURN(result.codes, round(columns));
  result.grid = spec;
  result.rows = weights.rows();
  result.cols = weights.cols();
  result.params = std::move(grids);
  EAQ_RETURN_IF_ERROR(Annotate(ValidateQuantized(result), "GPTQ: codes rounded elsewhere"));
  return result;
}

}  // namespace

double HessianLoss(ConstMatrixView w, ConstMatrixView q, const Hessian& hessian) {
  MatrixXd difference(w.rows, w.cols);
  for (Index r = 0; r < w.rows; ++r) {
    for (Index c = 0; c < w.cols; ++c) difference(r, c) = static_cast<double>(w(r, c)) - q(r, c);
  }
  const Eigen::Map<const RowMajorXd> h(hessian.values.data(), hessian.size, hessian.size);
  const MatrixXd product = difference * h;
  return product.cwiseProduct(difference).sum();
}

absl::StatusOr<std::vector<double>> InverseFactorDiagonal(const Hessian& hessian, double damping) {
  std::vector<Index> order(hessian.size);
  std::iota(order.begin(), order.end(), 0);
  bool seen = false;
  for (Index j = 0; j < hessian.size; ++j) seen = seen || hessian.at(j, j) != 0.0;
  const std::optional<Factor> factor = seen ? Factorise(hessian, order, damping) : std::nullopt;
  if (!factor) {
    return absl::FailedPreconditionError(seen ? "the second moments could not be factorised at any damping"
                                              : "no calibration token reached this linear");
  }
  const VectorXd diagonal = factor->Diagonal(order);
  return std::vector<double>(diagonal.begin(), diagonal.end());
}

absl::StatusOr<GptqResult> GptqSolve(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                     const GptqOptions& options) {
  return GptqSolve(w, hessian, spec, options, nullptr, nullptr);
}

absl::StatusOr<GptqResult> GptqSolve(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                     const GptqOptions& options, const GptqRounder& round,
                                     const NearestRounder& nearest_elsewhere) {
  EAQ_RETURN_IF_ERROR(CheckInput(w, hessian, spec, options));
  if (round != nullptr) EAQ_RETURN_IF_ERROR(CheckElsewhere(spec, options));
  const auto to_nearest = [&](ConstMatrixView values) -> absl::StatusOr<QuantizedMatrix> {
    const ClipSearchSpec* clip = options.clip ? &*options.clip : nullptr;
    if (nearest_elsewhere != nullptr) return nearest_elsewhere(values, spec, clip);
    return QuantizeNearest(values, spec, clip, options.group_bits);
  };
  GptqResult result;
  GptqReport& report = result.report;
  const double per_token = 1.0 / std::max<int64_t>(hessian.tokens, 1);

  const auto nearest = [&](std::string why) -> absl::StatusOr<GptqResult> {
    EAQ_ASSIGN_OR_RETURN(result.weight, to_nearest(w));
    report.fell_back_to_nearest = true;
    report.note = std::move(why);
    report.nearest_loss = HessianLoss(w, Dequantize(result.weight).const_view(), hessian) * per_token;
    report.loss = report.nearest_loss;
    return std::move(result);
  };

  for (Index j = 0; j < w.cols; ++j) report.dead_columns += hessian.at(j, j) == 0.0;
  if (report.dead_columns == w.cols) return nearest("no calibration token reached this linear: rounded to nearest");

  // Per-channel grids come from the untouched weights, group grids from those without the dead columns (as the
  // reference).
  Matrix weights(w);
  EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix plain, to_nearest(w));
  report.nearest_loss = HessianLoss(w, Dequantize(plain).const_view(), hessian) * per_token;
  std::vector<GridParams> grids = plain.params;
  if (options.zero_dead_columns && report.dead_columns > 0) {
    for (Index j = 0; j < w.cols; ++j) {
      if (hessian.at(j, j) != 0.0) continue;
      for (Index r = 0; r < w.rows; ++r) weights(r, j) = 0.0f;
    }
    if (spec.granularity == Granularity::kGroup) {
      EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix without_dead, to_nearest(weights.view()));
      grids = without_dead.params;
    }
  }

  std::vector<Index> perm(w.cols);
  std::iota(perm.begin(), perm.end(), 0);
  if (options.act_order) {
    std::stable_sort(perm.begin(), perm.end(), [&](Index a, Index b) { return hessian.at(a, a) > hessian.at(b, b); });
  }
  const std::optional<Factor> factor = Factorise(hessian, perm, options.damping);
  if (!factor) return nearest("the second moments could not be factorised at any damping: rounded to nearest");

  report.damping_used = factor->damping;
  if (factor->damping != options.damping) {
    report.note = absl::StrCat("damping raised from ", options.damping, " to ", factor->damping);
  }
  if (options.salient && options.static_groups) {
    EAQ_ASSIGN_OR_RETURN(grids, SalientGrids(weights, spec, options, factor->Diagonal(perm)));
  }

  if (round != nullptr) {
    EAQ_ASSIGN_OR_RETURN(result.weight, RoundElsewhere(weights, spec, perm, factor->u, std::move(grids), round));
  } else {
    Solver solver(weights.view(), spec, options, std::move(perm));
    EAQ_ASSIGN_OR_RETURN(result.weight, solver.Run(factor->u, std::move(grids)));
  }
  report.loss = HessianLoss(w, Dequantize(result.weight).const_view(), hessian) * per_token;
  return result;
}

}  // namespace eaq

#include "eaq/methods/slim_llm/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/linear.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/quantized_matrix.h"

namespace eaq::slim_llm {
namespace {

constexpr double kLeastProbability = 1e-6;

void Softmax(const float* row, std::vector<double>& p) {
  const double most = *std::max_element(row, row + p.size());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] = std::exp(row[i] - most);
  for (double& value : p) value = std::max(value / sum, kLeastProbability);
}

}  // namespace

std::vector<double> GroupSalience(ConstMatrixView w, absl::Span<const double> u, int64_t group_size) {
  std::vector<double> salience((w.cols + group_size - 1) / group_size, 0.0);
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) {
      const double ratio = w(r, c) / u[c];
      salience[c / group_size] += ratio * ratio;
    }
  }
  return salience;
}

double OutputDivergence(const Matrix& exact, const Matrix& rounded) {
  std::vector<double> p(exact.cols()), q(exact.cols());
  double sum = 0;
  for (int64_t t = 0; t < exact.rows(); ++t) {
    Softmax(exact.row(t), p);
    Softmax(rounded.row(t), q);
    for (size_t i = 0; i < p.size(); ++i) sum += q[i] * std::log(q[i] / p[i]);
  }
  return exact.rows() == 0 ? 0 : sum / static_cast<double>(exact.rows());
}

absl::StatusOr<std::vector<uint8_t>> SearchGroupBits(ConstMatrixView w, const Matrix& x,
                                                     absl::Span<const double> salience, const GridSpec& grid,
                                                     bool may_stay_uniform, const QuantizeOps& ops) {
  if (grid.granularity != Granularity::kGroup || grid.bits < 2 || grid.bits > 7) {
    return absl::InvalidArgumentError(absl::StrCat("slim_llm gives groups a bit more or less: grid ", grid.ToString(),
                                                   "; expected one per group, of 2 .. 7 bits"));
  }
  const auto groups = static_cast<int64_t>(salience.size());
  std::vector<int64_t> order(groups);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return salience[a] < salience[b]; });
  EAQ_ASSIGN_OR_RETURN(const Matrix exact, ops.Forward(DenseLinear(Matrix(w)), x.const_view()));
  const auto bits = static_cast<uint8_t>(grid.bits);
  std::vector<uint8_t> best(groups, bits);
  double least = std::numeric_limits<double>::infinity();
  for (int64_t n = may_stay_uniform ? 0 : 1; n < groups / 2; ++n) {
    std::vector<uint8_t> widths(groups, bits);
    for (int64_t i = 0; i < n; ++i) {
      --widths[order[i]];
      ++widths[order[groups - 1 - i]];
    }
    EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix q, QuantizeNearest(w, grid, nullptr, widths));
    EAQ_ASSIGN_OR_RETURN(const Matrix outputs, ops.Forward(DenseLinear(Dequantize(q)), x.const_view()));
    const double divergence = OutputDivergence(exact, outputs);
    if (divergence < least) least = divergence, best = widths;
  }
  return best;
}

}  // namespace eaq::slim_llm

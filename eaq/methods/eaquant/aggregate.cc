#include "eaq/methods/eaquant/aggregate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq::eaquant {
namespace {

using Operator = EaquantSmoothing;

// What the weight is proportional to; for the two softmaxes its logarithm.
double RawWeight(Operator::Aggregation aggregation, const ExpertEvidence& expert) {
  switch (aggregation) {
    case Operator::SUM1:
      return static_cast<double>(expert.tokens);
    case Operator::SUM2_0:
    case Operator::SUM2_2:
      return std::sqrt(expert.column_unevenness);
    case Operator::SUM2_1:
    case Operator::SUM2_3:
      return expert.column_unevenness;
    default:
      return expert.mean_probability;
  }
}

absl::Status SomeTokens(absl::Span<const ExpertEvidence> experts) {
  for (const ExpertEvidence& expert : experts)
    if (expert.tokens > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("smoothing aggregation over ", experts.size(),
                                                 " experts, none of which saw a token; expected calibration data"));
}

std::vector<float> Largest(absl::Span<const ExpertEvidence> experts) {
  std::vector<float> s;
  for (const ExpertEvidence& expert : experts) {
    if (expert.tokens == 0) continue;
    if (s.empty()) s = expert.scales;
    TakeMax(expert.scales, s);
  }
  return s;
}

}  // namespace

double ColumnUnevenness(const Matrix& weight) {
  double worst = 0;
  for (int64_t c = 0; c < weight.cols(); ++c) {
    double largest = 0, sum = 0;
    for (int64_t r = 0; r < weight.rows(); ++r) {
      largest = std::max<double>(largest, std::fabs(weight(r, c)));
      sum += std::fabs(weight(r, c));
    }
    if (sum > 0) worst = std::max(worst, largest * weight.rows() / sum);
  }
  return worst;
}

absl::StatusOr<std::vector<double>> AggregationWeights(Operator::Aggregation aggregation,
                                                       absl::Span<const ExpertEvidence> experts) {
  if (aggregation == Operator::MAX || aggregation == Operator::ALL) {
    return absl::InvalidArgumentError(
        absl::StrCat("aggregation ", Operator::Aggregation_Name(aggregation), " has no weights; expected a sum"));
  }
  EAQ_RETURN_IF_ERROR(SomeTokens(experts));
  const bool softmax = aggregation == Operator::SUM2_0 || aggregation == Operator::SUM2_1;
  std::vector<double> weights(experts.size(), 0.0);
  double largest = 0, sum = 0;
  for (size_t e = 0; e < experts.size(); ++e) {
    if (experts[e].tokens == 0) continue;
    weights[e] = RawWeight(aggregation, experts[e]);
    largest = std::max(largest, weights[e]);
  }
  for (size_t e = 0; e < experts.size(); ++e) {
    if (experts[e].tokens > 0 && softmax) weights[e] = std::exp(weights[e] - largest);
    sum += weights[e];
  }
  if (!(sum > 0)) {  // such as all-zero weights under SUM2_3: nobody stands out
    for (size_t e = 0; e < experts.size(); ++e) sum += weights[e] = experts[e].tokens > 0 ? 1 : 0;
  }
  for (double& w : weights) w /= sum;
  return weights;
}

absl::StatusOr<std::vector<float>> Aggregate(Operator::Aggregation aggregation,
                                             absl::Span<const ExpertEvidence> experts) {
  EAQ_RETURN_IF_ERROR(SomeTokens(experts));
  if (aggregation == Operator::MAX) return Largest(experts);
  if (aggregation == Operator::ALL) {
    std::vector<float> s = Largest(experts);
    for (const auto sum : {Operator::SUM1, Operator::SUM2_0, Operator::SUM3}) {
      EAQ_ASSIGN_OR_RETURN(const std::vector<float> other, Aggregate(sum, experts));
      TakeMax(other, s);
    }
    return s;
  }
  EAQ_ASSIGN_OR_RETURN(const std::vector<double> weights, AggregationWeights(aggregation, experts));
  std::vector<double> sum;
  for (size_t e = 0; e < experts.size(); ++e) {
    if (experts[e].tokens == 0) continue;
    sum.resize(experts[e].scales.size(), 0.0);
    for (size_t j = 0; j < sum.size(); ++j) sum[j] += weights[e] * experts[e].scales[j];
  }
  return std::vector<float>(sum.begin(), sum.end());
}

void TakeMax(absl::Span<const float> other, std::vector<float>& s) {
  for (size_t j = 0; j < s.size(); ++j) s[j] = std::max(s[j], other[j]);
}

}  // namespace eaq::eaquant

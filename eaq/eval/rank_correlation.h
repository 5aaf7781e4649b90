// Does one thing predict another? Spearman's rank correlation with a permutation test: of few points, whatever their
// scales.
//
//   EAQ_ASSIGN_OR_RETURN(const RankCorrelation r, CorrelateRanks(agreement, loss, /*seed=*/0));   // r.rho, r.p_value
#ifndef EAQ_EVAL_RANK_CORRELATION_H_
#define EAQ_EVAL_RANK_CORRELATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace eaq {

struct RankCorrelation {
  double rho = 0;      // Pearson's correlation of the ranks, equal values sharing their mean rank; -1 .. 1
  double p_value = 1;  // two-sided: share of the orders of one side with |rho| at least as large
  bool exact = false;  // all orders were tried (up to 8 points); else 10,000 random ones and the given one
  int64_t points = 0;
};

// At least 3 pairs, all finite, neither side constant; else InvalidArgument. The same for the same arguments.
absl::StatusOr<RankCorrelation> CorrelateRanks(absl::Span<const double> x, absl::Span<const double> y, uint64_t seed);

// 1 for the smallest; equal values share the mean of their ranks.
std::vector<double> MeanRanks(absl::Span<const double> values);

}  // namespace eaq

#endif  // EAQ_EVAL_RANK_CORRELATION_H_

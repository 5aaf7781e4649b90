// What recipes cost: at run time, and N of them on one model when what they share is made once. Inside the room
// eaq/report, but for callers that have trials of several comparisons.
//
//   const CostTable cost = MeasureCost(trials);
//   cost.spent / cost.alone    // total over N times one: 1 without sharing, 1/N at best
#ifndef EAQ_REPORT_COST_H_
#define EAQ_REPORT_COST_H_

#include <string>

#include "absl/types/span.h"
#include "eaq/report/comparison.h"

namespace eaq {

// TRIALS: of one model; the same key counts once. Stages are told apart by name and hash of their output.
CostTable MeasureCost(absl::Span<const ReportTrial> trials);

// The share of N times one that the total may be, when N recipes may cost 1 + 0.3 (N - 1) of one.
double CostGoal(int64_t recipes);

namespace report_internal {

// "Run-time work, multiply-adds a token on top of the linears' 459000: DuQuant +103 %, QuaRot-RTN +2.0 %; others none";
// "" where no row has any.
std::string RunTimeWork(const Comparison& c);

}  // namespace report_internal

}  // namespace eaq

#endif  // EAQ_REPORT_COST_H_

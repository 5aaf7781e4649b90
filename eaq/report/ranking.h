// The fairness gate's second half: which rows of a scheme may be ranked against each other. Inside the room eaq/report.
//
// Rows of one scheme are ranked together when they quantize the same matrices (scope) and store the same bits per
// weight (to kBitsTolerance). Otherwise each class has its own ranking, no verdict is given between classes, and
// Comparison::gate says so, or, where the spec lets the difference pass, that it did.
#ifndef EAQ_REPORT_RANKING_H_
#define EAQ_REPORT_RANKING_H_

#include <string>

#include "eaq/report/comparison.h"

namespace eaq::report_internal {

constexpr double kBitsTolerance = 0.01;  // stored bits per quantized weight

// "attention and experts, router kept"; "experts, router at 8 bits; o left at 16 bits".
std::string ScopeOf(const ReportTrial& trial);

// Fills rank_class of C's groups, the rankings of its schemes (without best and sentence) and `gate`.
void DivideRanks(Comparison& c);

// The duel of rows A and B seen from A (negative: A has the lower loss); false when there is none.
bool FindDuel(const Comparison& c, int a, int b, PairedResult& out);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_RANKING_H_

// What switching by data set (MoQa) found out about experts and channels, and what it did: figures, tables and the
// verdicts on its premises. Inside the room eaq/report.
//
//   T4  the order of the experts changes with the data set: Spearman's correlation of their significances between two
//       data sets is below 0.8 in most layers; above 0.95 it is the same order
//   T5  few channels do it: the 1 % of rows that move most carry at least 10 % of all movement between two data sets
//
// (specs/moqa.md 8; the limits are that document's.) A premise holds where it does for most pairs of data sets; it is
// reported either way.
#ifndef EAQ_REPORT_EXPERT_ANALYSIS_H_
#define EAQ_REPORT_EXPERT_ANALYSIS_H_

#include <string>
#include <vector>

#include "eaq/report/comparison.h"

namespace eaq::report_internal {

// The names of the metrics that Group::analysis keeps.
bool IsAnalysisMetric(const std::string& name);

// Both premises, a sentence each, of the first row that recorded them; and a sentence a row of what its detector did.
std::vector<std::string> ExpertAnalysisLines(const Comparison& c);

// The sentences, the figures of that row's analysis, and a table of how every row switched. "" without any.
std::string ExpertAnalysisHtml(const Comparison& c);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_EXPERT_ANALYSIS_H_

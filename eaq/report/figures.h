// The figures of the HTML report, each with its caption and its data in a table. Inside the room eaq/report.
#ifndef EAQ_REPORT_FIGURES_H_
#define EAQ_REPORT_FIGURES_H_

#include <string>

#include "absl/strings/string_view.h"
#include "eaq/report/comparison.h"

namespace eaq::report_internal {

// <figure> elements, or "" where the trials recorded nothing to show.
std::string QualityFigure(const Comparison& c);  // delta to full precision against stored bits
std::string DomainFigures(const Comparison& c);  // delta per domain, one chart per scheme
std::string ErrorFigures(const Comparison& c);   // output error per layer and expert, one map per row of the table
bool IsErrorMap(absl::string_view id);           // ID is that of a map of ErrorFigures
std::string TokenFigures(const Comparison& c);   // calibration tokens per expert, expert use per domain
std::string RouterFigures(const Comparison& c);  // top-k agreement per layer, one chart per scheme

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_FIGURES_H_

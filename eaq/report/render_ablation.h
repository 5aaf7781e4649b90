// The ablations, the claims, what routers predict and the cost of a comparison in words, tables and figures; "" where
// there is none. Inside the room.
#ifndef EAQ_REPORT_RENDER_ABLATION_H_
#define EAQ_REPORT_RENDER_ABLATION_H_

#include <string>
#include <vector>

#include "eaq/report/comparison.h"
#include "eaq/report/report.h"

namespace eaq::report_internal {

std::string AblationText(const Comparison& c, const TextOptions& options);
std::string AblationHtml(const Comparison& c);     // the body of a section
std::string AblationLatex(const Comparison& c);    // tables
std::string AblationCsvRows(const Comparison& c);  // without the head
extern const char kAblationCsvHead[];

std::string ClaimsText(const Comparison& c, const TextOptions& options);
std::string ClaimsHtml(absl::Span<const Comparison> parts);
std::string ClaimsJson(const Comparison& c);  // an array

// "Router, W4A4: ..."; whether agreement with full precision's choices goes with a small loss.
std::vector<std::string> RouterPredictionLines(const Comparison& c);
std::string RouterPredictionHtml(const Comparison& c);

std::string CostText(const Comparison& c, const TextOptions& options);
std::string CostHtml(const Comparison& c);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_RENDER_ABLATION_H_

// What others say about methods, tested: "EAQuant has a lower loss than DuQuant at W4A4". Inside the room eaq/report.
#ifndef EAQ_REPORT_CLAIMS_H_
#define EAQ_REPORT_CLAIMS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/report/groups.h"

namespace eaq::report_internal {

// One row per claim and scheme for which it was made, in that order. The loss of `recipe` minus that of `over`, both
// the mean over their seeds, is paired over the pooled windows, clustered by document; Holm's correction is over the
// rows with a result. A claim holds where the difference is significantly below 0; it does not where it is
// significantly above, or where the two are equivalent (interval inside the margin); otherwise it is undecided.
absl::StatusOr<std::vector<ClaimRow>> TestClaims(absl::Span<const ClaimInputs> claims,
                                                 absl::Span<const Measured> measured, const PairedOptions& options,
                                                 Resampler& resampler);

// "holds", "does not hold", "undecided", "no result yet"
const char* ClaimVerdict(const ClaimRow& row);
// "holds in 3 of 6: ref-s W4A4 as published, ...; does not hold in 1: ...; undecided in 2: ...", per claim of PARTS.
std::vector<std::string> ClaimSummaries(absl::Span<const Comparison> parts);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_CLAIMS_H_

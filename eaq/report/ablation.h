// What the parts of a recipe do, from the arms of a generated ablation. Inside the room eaq/report.
#ifndef EAQ_REPORT_ABLATION_H_
#define EAQ_REPORT_ABLATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/report/groups.h"

namespace eaq::report_internal {

// One table per scheme of MEASURED that has trials of the ablation's arms, in the order of appearance. With l_S the
// loss per window of the arm whose parts S are on (mean over its seeds), and 1 all of P parts, effects are paired over
// windows, clustered by document:
//   whole        l_1 - l_0
//   alone A      l_A - l_0
//   without A    l_1 - l_(1-A)
//   pair A, B    (l_AB - l_0) - (l_A - l_0) - (l_B - l_0)
//   rest         (l_1 - l_0) - sum_A alone A;  sum_A without A where parts did not run alone
// Holm's correction is over the effects of a table that have a result.
absl::StatusOr<std::vector<AblationTable>> MeasureAblation(const AblationInputs& ablation,
                                                           absl::Span<const Measured> measured,
                                                           const PairedOptions& options, Resampler& resampler);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_ABLATION_H_

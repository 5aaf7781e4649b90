// From trials to groups: which trials are seeds of one recipe, and what they measured together. Inside the room.
#ifndef EAQ_REPORT_GROUPS_H_
#define EAQ_REPORT_GROUPS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/report/comparison.h"
#include "eaq/report/fairness.h"

namespace eaq::report_internal {

// A group with the values its statistics are made of.
struct Measured {
  Group group;
  std::string scheme_id;                            // content of the scheme; "" for full precision
  std::vector<const ReportTrial*> trial;            // by seed
  std::vector<SeedCombination> nll;                 // per domain, windows averaged over seeds
  std::vector<std::vector<WindowValues>> seed_nll;  // [domain][seed]
  WindowValues pooled;                              // windows of all domains, documents named "domain/document"
  std::vector<WindowValues> seed_pooled;
};

// Full precision first; then by scheme, by recipe. Everything of Group is filled in but what needs another group
// (versus_full, seed_delta, best).
absl::StatusOr<std::vector<Measured>> MeasureGroups(const Gate& gate, const std::vector<std::string>& domains,
                                                    bool canonical_order);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_GROUPS_H_

// The recipes of a table compared field by field: what the fairness box says. Inside the room eaq/report.
//
//   router: keep                                    equal: all recipes have it so
//   solve: nearest (RTN, RTN+clip); gptq (GPTQ)     not equal
//   solve.clip: unset (RTN, GPTQ); { norm: L24 ... } (RTN+clip)
//
// Defaults left out and spelled out are the same. An option that only one recipe's stage knows is the method's own
// business and not listed; one that stages of different kinds have under one name (`clip`) is compared across them.
#ifndef EAQ_REPORT_RECIPE_FIELDS_H_
#define EAQ_REPORT_RECIPE_FIELDS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "eaq/proto/recipe.pb.h"

namespace eaq::report_internal {

struct FieldComparison {
  std::vector<std::string> equal, unequal;  // lines as above, in the order of recipe.proto
};
// RECIPES with their labels.
FieldComparison CompareFields(absl::Span<const std::pair<std::string, const Recipe*>> recipes);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_RECIPE_FIELDS_H_

#include "eaq/recipe/switching.h"

#include <algorithm>

namespace eaq {

int SwitchPlan::StateOf(absl::string_view set) const {
  const auto at = std::find(sets.begin(), sets.end(), set);
  return at == sets.end() ? -1 : static_cast<int>(at - sets.begin());
}

std::vector<std::string> DistinctNames(absl::Span<const std::string> names, std::vector<int>* index) {
  std::vector<std::string> distinct;
  for (const std::string& name : names) {
    const auto found = std::find(distinct.begin(), distinct.end(), name);
    if (index != nullptr) index->push_back(static_cast<int>(found - distinct.begin()));
    if (found == distinct.end()) distinct.push_back(name);
  }
  return distinct;
}

}  // namespace eaq

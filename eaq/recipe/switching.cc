#include "eaq/recipe/switching.h"

#include <algorithm>

namespace eaq {

int PlaceOf(absl::string_view name, absl::Span<const std::string> names) {
  const auto at = std::find(names.begin(), names.end(), name);
  return at == names.end() ? -1 : static_cast<int>(at - names.begin());
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

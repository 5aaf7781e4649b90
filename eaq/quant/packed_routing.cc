#include "eaq/quant/packed_routing.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace eaq {

std::string DescribeRouting(const RoutingPolicy& policy) {
  std::vector<std::string> parts;
  if (!policy.kept.empty()) parts.push_back(absl::StrCat("keep ", absl::StrJoin(policy.kept, " ")));
  // Nine digits give a float32 back to the bit.
  if (policy.drop) parts.push_back(absl::StrFormat("drop %.9g %.9g", policy.drop->ratio, policy.drop->protect));
  return absl::StrJoin(parts, "; ");
}

absl::StatusOr<RoutingPolicy> ParseRouting(absl::string_view text) {
  RoutingPolicy policy;
  bool sound = !text.empty();
  for (absl::string_view part : absl::StrSplit(text, "; ")) {
    if (absl::ConsumePrefix(&part, "keep ")) {
      sound = sound && policy.kept.empty() && !policy.drop;
      for (const absl::string_view expert : absl::StrSplit(part, ' ')) {
        int32_t number = 0;
        sound = absl::SimpleAtoi(expert, &number) && sound;
        policy.kept.push_back(number);
      }
    } else if (absl::ConsumePrefix(&part, "drop ")) {
      const std::vector<absl::string_view> numbers = absl::StrSplit(part, ' ');
      sound = sound && !policy.drop && numbers.size() == 2;
      policy.drop.emplace();
      sound = sound && absl::SimpleAtof(numbers[0], &policy.drop->ratio) &&
              absl::SimpleAtof(numbers[1], &policy.drop->protect);
    } else {
      sound = false;
    }
  }
  if (sound) return policy;
  return absl::InvalidArgumentError(
      absl::StrCat("routing '", text, "'; expected 'keep EXPERT ...', 'drop RATIO PROTECTED' or both, joined by '; '"));
}

}  // namespace eaq

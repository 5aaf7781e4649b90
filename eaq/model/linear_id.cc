#include "eaq/model/linear_id.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr const char* kNames[] = {"q",  "k",    "v",           "o",         "router",      "gate",
                                  "up", "down", "shared_gate", "shared_up", "shared_down", "shared_expert_gate"};

// A decimal number after PREFIX and nothing else, without sign or leading zero.
bool ParseIndex(absl::string_view text, char prefix, int* out) {
  if (text.size() < 2 || text[0] != prefix) return false;
  text.remove_prefix(1);
  if (text.find_first_not_of("0123456789") != absl::string_view::npos || (text.size() > 1 && text[0] == '0'))
    return false;
  return absl::SimpleAtoi(text, out);
}

}  // namespace

absl::string_view RoleName(Role role) { return kNames[static_cast<int>(role)]; }

absl::StatusOr<Role> ParseRole(absl::string_view name) {
  for (int i = 0; i <= static_cast<int>(Role::kSharedExpertGate); ++i)
    if (name == kNames[i]) return static_cast<Role>(i);
  return absl::InvalidArgumentError(absl::StrCat("unknown role \"", name,
                                                 "\"; expected q, k, v, o, router, gate, up, down, shared_gate, "
                                                 "shared_up, shared_down or shared_expert_gate"));
}

std::string LinearId::ToString() const {
  if (expert < 0) return absl::StrCat("L", layer, ".", RoleName(role));
  return absl::StrCat("L", layer, ".e", expert, ".", RoleName(role));
}

absl::StatusOr<LinearId> LinearId::Parse(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  LinearId id;
  const bool shape = (parts.size() == 2 || parts.size() == 3) && ParseIndex(parts[0], 'L', &id.layer) &&
                     (parts.size() == 2 || ParseIndex(parts[1], 'e', &id.expert));
  if (!shape) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not the address of a linear; expected L3.q or L3.e7.down"));
  }
  EAQ_ASSIGN_OR_RETURN(id.role, ParseRole(parts.back()));
  return id;
}

}  // namespace eaq

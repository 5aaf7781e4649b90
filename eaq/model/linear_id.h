// LinearId: the address of one weight matrix, the key of statistics, plans, solvers and reports.
//
//   LinearId id{.layer = 3, .role = Role::kDown, .expert = 7};
//   id.ToString() == "L3.e7.down";  LinearId::Parse("L3.e7.down") == id
#ifndef EAQ_MODEL_LINEAR_ID_H_
#define EAQ_MODEL_LINEAR_ID_H_

#include <compare>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

// The order is the order of use inside a layer. Names in ToString(): q k v o router gate up down shared_gate
// shared_up shared_down shared_expert_gate.
enum class Role {
  kQ,
  kK,
  kV,
  kO,
  kRouter,
  kGate,
  kUp,
  kDown,
  kSharedGate,
  kSharedUp,
  kSharedDown,
  kSharedExpertGate,  // Qwen2-MoE's sigmoid gate of the shared expert
};

absl::string_view RoleName(Role role);
absl::StatusOr<Role> ParseRole(absl::string_view name);

// The feed-forward of a dense layer has the roles kGate, kUp, kDown without an expert: "L0.gate".
struct LinearId {
  int layer = 0;
  Role role = Role::kQ;
  int expert = -1;  // -1: not part of a routed expert

  std::string ToString() const;
  static absl::StatusOr<LinearId> Parse(absl::string_view text);
  friend auto operator<=>(const LinearId&, const LinearId&) = default;
};

}  // namespace eaq

#endif  // EAQ_MODEL_LINEAR_ID_H_

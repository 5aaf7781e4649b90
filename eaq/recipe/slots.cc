#include "eaq/recipe/slots.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

absl::Status NeedsData(const Recipe& recipe, absl::string_view slot) {
  return absl::InvalidArgumentError(
      absl::StrCat("recipe ", recipe.name(), ": slot ", slot,
                   " needs calibration data, but slot calibration gives none; use calibration { random {} }"));
}

}  // namespace

absl::StatusOr<RecipeSlots> RecipeSlots::Make(const Recipe& recipe) {
  RecipeSlots slots;
  EAQ_ASSIGN_OR_RETURN(slots.calibration, MakeStage<CalibrationSlot>(recipe.calibration(), "calibration"));
  for (const TransformStage& transform : recipe.transform()) {
    EAQ_ASSIGN_OR_RETURN(auto stage, MakeStage<TransformSlot>(transform, "transform"));
    slots.transform.push_back(std::move(stage));
  }
  EAQ_ASSIGN_OR_RETURN(slots.allocate, MakeStage<AllocateSlot>(recipe.allocate(), "allocate"));
  EAQ_ASSIGN_OR_RETURN(slots.solve, MakeStage<SolveSlot>(recipe.solve(), "solve"));
  EAQ_ASSIGN_OR_RETURN(slots.router, MakeStage<RouterSlot>(recipe.router(), "router"));
  EAQ_ASSIGN_OR_RETURN(slots.activation, MakeStage<ActivationSlot>(recipe.activation(), "activation"));
  if (!slots.calibration->uses_data()) {
    for (const auto& transform : slots.transform) {
      if (transform->needs_profile() || transform->needs_hidden()) return NeedsData(recipe, "transform");
    }
    if (slots.allocate->needs_hidden() || slots.allocate->needs_profile()) return NeedsData(recipe, "allocate");
    if (slots.solve->needs_second_moments() || slots.solve->solves_whole_layers()) return NeedsData(recipe, "solve");
    if (slots.router->needs_hidden()) return NeedsData(recipe, "router");
    if (slots.activation->needs_profile()) return NeedsData(recipe, "activation");
    if (recipe.has_online_pruning()) {
      return absl::InvalidArgumentError(absl::StrCat("recipe ", recipe.name(),
                                                     ": online_pruning needs calibration data, ",
                                                     "but slot calibration gives none; use calibration { random {} }"));
    }
  }
  return slots;
}

bool RecipeSlots::needs_full_hidden() const {
  for (const auto& stage : transform) {
    if (stage->needs_full_hidden()) return true;
  }
  return solve->needs_full_hidden();
}

}  // namespace eaq

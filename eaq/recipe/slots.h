// The stages of a recipe, made from its six slots once.
//
//   EAQ_ASSIGN_OR_RETURN(const RecipeSlots slots, RecipeSlots::Make(recipe));
#ifndef EAQ_RECIPE_SLOTS_H_
#define EAQ_RECIPE_SLOTS_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/stage.h"

namespace eaq {

struct RecipeSlots {
  std::unique_ptr<const CalibrationSlot> calibration;
  std::vector<std::unique_ptr<const TransformSlot>> transform;
  std::unique_ptr<const AllocateSlot> allocate;
  std::unique_ptr<const SolveSlot> solve;
  std::unique_ptr<const RouterSlot> router;
  std::unique_ptr<const ActivationSlot> activation;

  // InvalidArgument names the slot that is empty, or whose options are bad, or that needs data while `calibration`
  // gives none; NotFound a stage that is not linked in.
  static absl::StatusOr<RecipeSlots> Make(const Recipe& recipe);

  // Whether the full-precision model's hidden states must be carried along beside the propagated ones.
  bool needs_full_hidden() const;
};

}  // namespace eaq

#endif  // EAQ_RECIPE_SLOTS_H_

// What two recipes differ in, and recipes in between: the ground of generated ablations. By reflection alone, so a
// stage or option that is added to recipe.proto is a part without a line of code here.
//
//   const std::vector<RecipeDifference> d = RecipeDifferences(rtn, gptq);   // {"solve", ...}, {"calibration", ...}
//   const Recipe mixed = MixRecipes(rtn, gptq, {"solve"});                  // rtn with gptq's solver
//
// Differences, in the order of recipe.proto (an option left out and its default spelled out are the same):
//   "solve", "router", ...    the slot's stages are of different kinds, or only one recipe has any
//   "solve.gptq.damping"      both have this stage; the option differs (an option that is a message is one difference)
//   "transform.smoothquant"   only one recipe has this transform ("transform.hadamard#2": its second of that kind)
//   "transform"               both have the same transforms in another order: a single difference
//   "propagate"               a field of Recipe that is no slot
// Options of an external stage are compared where its message is linked in, else it is taken as one option, `value`.
#ifndef EXPERIMENTS_RECIPE_PARTS_H_
#define EXPERIMENTS_RECIPE_PARTS_H_

#include <google/protobuf/message.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "eaq/proto/recipe.pb.h"

namespace eaq {

struct RecipeDifference {
  std::string path;
  std::string name;                 // short: "smoothquant", "gptq", "router=quantize", "damping"
  std::vector<std::string> stages;  // "solve.nearest", "solve.gptq": other names under which `path` is found
};
std::vector<RecipeDifference> RecipeDifferences(const Recipe& base, const Recipe& full);

// BASE with those differences whose paths are in TAKE as they are in FULL. None: BASE; all: FULL; in both cases but for
// name and title, which are BASE's. Transforms stand in FULL's order, those that only BASE has before the one that
// follows them there.
Recipe MixRecipes(const Recipe& base, const Recipe& full, const std::set<std::string>& take);

// "transform" and "transform.smoothquant" mean the difference "transform.smoothquant"; "solve.gptq" the difference
// "solve" of a recipe with gptq and one without, and "solve.gptq.damping".
bool MeansDifference(absl::string_view field, const RecipeDifference& difference);

// True when the two mean the same, labels aside.
bool SameRecipe(const Recipe& a, const Recipe& b);
// Unset scalars equal their default; whether a message is there counts.
bool SameMeaning(const google::protobuf::Message& a, const google::protobuf::Message& b);

// ---- a slot's stage, whatever its kind: shared with equal_form.cc ----
struct StageOptions {
  std::string kind;                                    // "gptq"; of an external stage its message's name; "" for none
  std::unique_ptr<google::protobuf::Message> options;  // null for none
};
// SLOT: a CalibrationStage, TransformStage, ...
StageOptions StageOf(const google::protobuf::Message& slot);
void PutStage(const StageOptions& stage, google::protobuf::Message& slot);
// Makes FIELD of TO what it is in FROM, unset included; both of one type.
void CopyField(const google::protobuf::Message& from, const google::protobuf::FieldDescriptor* field,
               google::protobuf::Message& to);
// True for the slots of Recipe: messages that hold one stage.
bool IsSlot(const google::protobuf::FieldDescriptor* field);

}  // namespace eaq

#endif  // EXPERIMENTS_RECIPE_PARTS_H_

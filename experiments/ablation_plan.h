// One `ablation { ... }` of a spec -> its arms: the recipes between `relative_to` and `of`.
//
// Names: "rtn", "gptq", "rtn + smoothing" (that part alone), "gptq - smoothing" (all but that part),
// "rtn + smoothing + clip" (two parts). Every combination of parts stands here once, under the first of these names.
// Where one of the two recipes reads no calibration data and the other does, that is no part (unless a `part` names
// "calibration"): every recipe in between reads what the other reads.
#ifndef EXPERIMENTS_ABLATION_PLAN_H_
#define EXPERIMENTS_ABLATION_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/proto/recipe.pb.h"
#include "experiments/experiment.pb.h"

namespace eaq {

struct AblationPart {
  std::string name;
  std::vector<std::string> fields;  // paths of RecipeDifferences
};
struct AblationArm {
  std::vector<int> on;  // parts as in `of`, ascending; the others are as in `relative_to`
  Recipe recipe;        // with its name, and a title where both recipes have one
};
struct AblationPlan {
  std::string of, relative_to;  // names of the recipes
  bool add_one_in = false, leave_one_out = false, pairs = false;
  std::vector<AblationPart> parts;
  std::vector<AblationArm> arms;   // first `relative_to`, then `of`
  std::vector<std::string> notes;  // what a reader should know of how the arms were made
};

// What is wrong, and which field of the ablation is to blame: "of", "part" with INDEX, or "".
struct AblationError {
  std::string field, message;
  int index = -1;
};

// FULL: the recipe `of`; BASE: `relative_to`. Fills ERROR and returns false when the two do not differ, a part has no
// name, matches nothing or what another part has, names are used twice, there are more than 16 parts, or nothing is
// asked for. LENIENT: parts that match nothing are left out with a note (they were made equal).
bool PlanAblation(const Experiment::Ablation& ablation, const Recipe& base, const Recipe& full, bool lenient,
                  AblationPlan& plan, AblationError& error);

}  // namespace eaq

#endif  // EXPERIMENTS_ABLATION_PLAN_H_

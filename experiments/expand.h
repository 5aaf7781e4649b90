// Experiment -> trials not yet resolved: no hashes, paths as written. Deterministic; nothing is read but presets.
//
//   EAQ_ASSIGN_OR_RETURN(Expansion expansion, Expand(*spec, load_preset));
//
// Per model, in this order: full precision, then per form scheme x recipe x calibration x seed in the order of the
// spec, each scheme's recipes followed by the arms of the ablations. A recipe without calibration gives one trial
// instead of one per calibration and seed. Trials that mean the same may stand here more than once (an arm that is a
// recipe of the experiment, a recipe that is the same in both forms): the planner runs them once.
#ifndef EXPERIMENTS_EXPAND_H_
#define EXPERIMENTS_EXPAND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/ablation_plan.h"
#include "experiments/spec_loader.h"

namespace eaq {

// What a trial is there for.
struct TrialTag {
  std::string form;             // "as published", "equal"; "" when the spec names no form, and for full precision
  int ablation = -1, arm = -1;  // Expansion::ablations[ablation].arms[arm]; -1: a recipe of the experiment
};
struct Expansion {
  std::vector<TrialSpec> trials;
  std::vector<TrialTag> tags;           // as long as `trials`
  std::vector<AblationPlan> ablations;  // one per form and ablation of the spec
};

// The Recipe shipped as PRESET; NotFound (with suggestions) when there is none.
using PresetLoader = std::function<absl::StatusOr<Recipe>(const std::string& preset)>;
// eaq/methods/PRESET/preset.textproto of the repository.
absl::StatusOr<Recipe> LoadShippedPreset(const std::string& preset);

// InvalidArgument, positioned, for anything that cannot run: nothing to do, unknown preset, field or name, values out
// of range, an expansion above max_trials (counted before it is built).
absl::StatusOr<Expansion> Expand(const LoadedSpec& spec, const PresetLoader& load_preset);

// True when RECIPE reads no calibration data.
bool NeedsNoCalibration(const Recipe& recipe);

}  // namespace eaq

#endif  // EXPERIMENTS_EXPAND_H_

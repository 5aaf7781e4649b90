// Experiment -> trials not yet resolved: no hashes, paths as written. Deterministic; nothing is read but presets.
//
//   EAQ_ASSIGN_OR_RETURN(std::vector<TrialSpec> trials, Expand(*spec, load_preset));
//
// Per model, in this order: full precision, then scheme x recipe x calibration x seed in the order of the spec. A
// recipe without calibration gives one trial instead of one per calibration and seed.
#ifndef EXPERIMENTS_EXPAND_H_
#define EXPERIMENTS_EXPAND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/spec_loader.h"

namespace eaq {

// The Recipe shipped as PRESET; NotFound (with suggestions) when there is none.
using PresetLoader = std::function<absl::StatusOr<Recipe>(const std::string& preset)>;
// eaq/methods/PRESET/preset.textproto of the repository.
absl::StatusOr<Recipe> LoadShippedPreset(const std::string& preset);

// InvalidArgument, positioned, for anything that cannot run: nothing to do, unknown preset, field or name, values out
// of range, an expansion above max_trials (counted before it is built).
absl::StatusOr<std::vector<TrialSpec>> Expand(const LoadedSpec& spec, const PresetLoader& load_preset);

// True when RECIPE reads no calibration data.
bool NeedsNoCalibration(const Recipe& recipe);

}  // namespace eaq

#endif  // EXPERIMENTS_EXPAND_H_

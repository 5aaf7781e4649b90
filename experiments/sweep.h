// The `sweep` program without its trial: plan, run what is left, report.
#ifndef EXPERIMENTS_SWEEP_H_
#define EXPERIMENTS_SWEEP_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "experiments/expand.h"
#include "experiments/planner.h"
#include "experiments/worker.h"

namespace eaq {

// What the program is made of; tests put in fakes.
struct SweepParts {
  TrialRunner run_trial;
  PresetLoader load_preset = LoadShippedPreset;
  std::function<Resolvers(const std::string& spec_folder, const std::string& cache_folder)> resolvers = MakeResolvers;
  int numerics_version = 0;
  // Whether a --backend other than cpu is here; its error says what to do.
  std::function<absl::Status(const std::string& backend)> check_backend = [](const std::string&) {
    return absl::OkStatus();
  };
};

// Runs the command line (without the program's name; "--worker" first makes this process a worker). Returns the exit
// code: see HelpText().
int SweepMain(const std::vector<std::string>& args, const SweepParts& parts);

}  // namespace eaq

#endif  // EXPERIMENTS_SWEEP_H_

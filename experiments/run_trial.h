// One trial, from its spec to its result: texts -> calibration -> quantization layer by layer -> evaluation.
//
//   RunOptions options;
//   options.model_path = "models/ref-s";
//   EAQ_ASSIGN_OR_RETURN(const TrialResult result, RunTrial(spec, options));
//
// The result depends on SPEC alone: not on the number of threads, not on the cache, not on what ran before.
#ifndef EXPERIMENTS_RUN_TRIAL_H_
#define EXPERIMENTS_RUN_TRIAL_H_

#include <string>

#include "absl/status/statusor.h"
#include "eaq/base/progress.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

struct RunOptions {
  std::string model_path;    // folder of the checkpoint
  std::string cache_folder;  // stage results of all trials; "": no cache
  int threads = 1;
  ProgressSink* progress = nullptr;
};

// SPEC: resolved by the planner; its hashes of model, tokenizer and texts are checked against what is found
// (FailedPrecondition names what has changed). Other errors are those of the stages, with layer and linear.
absl::StatusOr<TrialResult> RunTrial(const TrialSpec& spec, const RunOptions& options);

}  // namespace eaq

#endif  // EXPERIMENTS_RUN_TRIAL_H_

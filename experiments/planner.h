// Expanded trials -> trials with everything that their keys need: hashes of model, tokenizer, corpora and tasks.
#ifndef EXPERIMENTS_PLANNER_H_
#define EXPERIMENTS_PLANNER_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

struct ResolvedModel {
  std::string path;  // absolute
  std::string hash, tokenizer_hash;
};
struct ResolvedCorpus {
  std::string path;  // absolute, or empty
  std::string sha256;
  std::string description;  // "bible-kjv 4.38 <sha256>"
};
// Where content hashes come from; tests give their own.
struct Resolvers {
  std::function<absl::StatusOr<ResolvedModel>(const std::string& path)> model;
  std::function<absl::StatusOr<ResolvedCorpus>(const CorpusRef& corpus)> corpus;
  std::function<absl::StatusOr<ResolvedCorpus>(const EvaluationTask& task)> task;
};
// The real ones. What was hashed once is remembered in CACHE_FOLDER/hashes.json under path, size and mtime (packages:
// version) and this program's own hash. Relative paths count from SPEC_FOLDER, else from where the user stands, else
// from the repository. NotFound: a model, corpus or task that is not there (exit 3).
Resolvers MakeResolvers(const std::string& spec_folder, const std::string& cache_folder);

struct PlannedTrial {
  std::string key;
  TrialSpec spec;
};
struct SweepPlan {
  std::vector<PlannedTrial> trials;            // every key once, in the order of the expansion
  std::vector<PlannedTrial> asked;             // every trial given, in order: a key stands here as often as asked for
  int64_t duplicates = 0;                      // trials that were asked for twice
  std::map<std::string, std::string> corpora;  // name -> description
};

absl::StatusOr<SweepPlan> Resolve(std::vector<TrialSpec> trials, int numerics_version, const Resolvers& resolvers);

// "gptq / W4A4 / seed 0", "full precision".
std::string TrialLabel(const TrialSpec& spec);

}  // namespace eaq

#endif  // EXPERIMENTS_PLANNER_H_

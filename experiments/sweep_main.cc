// The program //experiments:sweep.
#include "eaq/recipe/version.h"
#include "experiments/device_evaluation.h"
#include "experiments/run_trial.h"
#include "experiments/sweep.h"

int main(int argc, char** argv) {
  eaq::SweepParts parts;
  parts.numerics_version = eaq::kNumericsVersion;
  parts.check_backend = eaq::CheckBackend;
  parts.run_trial = [](const eaq::WorkerJob& job, eaq::ProgressSink& progress) {
    eaq::RunOptions options;
    options.model_path = job.spec().model().path();
    options.cache_folder = job.cache_folder();
    options.threads = job.threads();
    options.progress = &progress;
    return eaq::RunTrial(job.spec(), options);
  };
  return eaq::SweepMain({argv + 1, argv + argc}, parts);
}

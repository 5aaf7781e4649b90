// The program //experiments:ledger.
#include "experiments/ledger_verbs.h"
#include "experiments/run_trial.h"

int main(int argc, char** argv) {
  const eaq::VerifyRunner again = [](const eaq::TrialSpec& spec, int threads) {
    eaq::RunOptions options;
    options.model_path = spec.model().path();
    options.threads = threads;
    return eaq::RunTrial(spec, options);
  };
  return eaq::LedgerMain({argv + 1, argv + argc}, again);
}

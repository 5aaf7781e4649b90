#include "eaq/report/from_ledger.h"

#include <string>

namespace eaq {

void AddStoredTrial(const StoredTrial& trial, ReportInputs& inputs) {
  ReportProvenance& p = inputs.provenance;
  const Provenance& from = trial.provenance;
  if (p.binary_hash.empty() && !from.binary_hash.empty()) {
    p.commit = from.commit;
    p.dirty = from.dirty;
    p.binary_hash = from.binary_hash;
    p.host = from.host;
    p.cpu = from.cpu;
    p.kernel = from.kernel;
    p.compiler = from.compiler;
  }
  p.corpora.insert(from.corpora.begin(), from.corpora.end());
  if (trial.result) {
    ReportTrial t{trial.key, trial.spec, *trial.result};
    for (const Attempt& a : trial.attempts) {
      if (a.outcome != Outcome::kOk) continue;
      t.result.set_wall_seconds(a.wall_seconds);
      t.result.set_peak_memory_bytes(a.peak_memory_bytes);
      break;
    }
    if (!from.binary_hash.empty()) ++p.binaries[from.binary_hash];
    inputs.trials.push_back(std::move(t));
    return;
  }
  if (trial.attempts.empty() || trial.attempts.back().outcome == Outcome::kInterrupted) {
    ++inputs.pending;
    return;
  }
  const Attempt& last = trial.attempts.back();
  ReportFailure f;
  f.key = trial.key;
  f.model = trial.spec.model().name();
  f.scheme = trial.spec.has_scheme() ? trial.spec.scheme().name() : "full precision";
  f.recipe = trial.spec.recipe().title().empty() ? trial.spec.recipe().name() : trial.spec.recipe().title();
  f.seed = trial.spec.calibration().seed();
  f.outcome = std::string(OutcomeName(last.outcome));
  f.message = last.message;
  f.command = last.command;
  f.log = last.log;
  inputs.failures.push_back(std::move(f));
}

}  // namespace eaq

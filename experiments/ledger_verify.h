// Proving that a trial gives the same bits again: its stored result against a fresh one, stage by stage.
//
//   EAQ_ASSIGN_OR_RETURN(const TrialResult again, <run trial.spec with the cache switched off>);
//   const Verdict verdict = CompareRuns(trial, again);
//   if (!verdict.same) std::cerr << verdict.text;   // "solve/L2: first stage whose output differs: ..."
#ifndef EXPERIMENTS_LEDGER_VERIFY_H_
#define EXPERIMENTS_LEDGER_VERIFY_H_

#include <string>

#include "eaq/ledger/types.h"

namespace eaq {

struct Verdict {
  bool same = false;
  std::string stage;  // the first stage whose hash differs, is missing or is new; "" when all stages agree
  std::string text;   // what was compared, or what differs, in words
};

// STORED must have a result. Stages are compared by name and hash in order; then the whole result by ResultDigest, so
// that a difference outside the stages (a metric, a per-window value) is found as well and named.
Verdict CompareRuns(const StoredTrial& stored, const TrialResult& again);

}  // namespace eaq

#endif  // EXPERIMENTS_LEDGER_VERIFY_H_

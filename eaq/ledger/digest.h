// What "the same result, bit for bit" means: the hash of a TrialResult without what may differ between two honest
// runs (seconds, memory, threads, what came from the cache).
#ifndef EAQ_LEDGER_DIGEST_H_
#define EAQ_LEDGER_DIGEST_H_

#include <string>

#include "eaq/proto/trial.pb.h"

namespace eaq {

// 64 hex digits. Doubles enter by bit pattern (all NaNs count as one), lists in their order.
std::string ResultDigest(const TrialResult& result);

// RESULT without wall_seconds, peak_memory_bytes, threads, stage.seconds, stage.from_cache: what the digest covers
// and what the ledger stores as the trial's result. The timings are the attempt's.
TrialResult WithoutTimings(const TrialResult& result);

}  // namespace eaq

#endif  // EAQ_LEDGER_DIGEST_H_

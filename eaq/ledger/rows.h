// Inside the ledger: how structs and messages become rows. Not for other rooms.
#ifndef EAQ_LEDGER_ROWS_H_
#define EAQ_LEDGER_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/ledger/sqlite.h"
#include "eaq/ledger/types.h"

namespace eaq::ledger_internal {

// All functions run inside the caller's transaction.
absl::Status InsertTrial(Database& db, const std::string& key, const TrialSpec& spec, int64_t now_ns);
absl::StatusOr<int64_t> InsertProvenance(Database& db, const Provenance& provenance);  // id of the row
// Inserts RESULT (without timings) and what explodes from it, unless its digest is there. Returns {id, is new}.
absl::StatusOr<std::pair<int64_t, bool>> InsertResult(Database& db, const std::string& key, const TrialResult& result,
                                                      const std::string& digest);
// RESULT may be null (no result). PROVENANCE is an id.
absl::Status InsertAttempt(Database& db, Attempt attempt, const TrialResult* result, int64_t result_id,
                           int64_t provenance);

// Little-endian float64.
std::string PackDoubles(const double* values, int64_t n);
// "finite", "nan", "+inf", "-inf".
const char* NumberKind(double value);
std::string JsonArray(const std::vector<std::string>& texts);
// At most 64 KiB: head and tail of longer texts, with a mark between.
std::string Clipped(const std::string& text);
bool IsKey(absl::string_view text);  // 64 lower-case hex digits
int64_t NowNs();                     // UTC

}  // namespace eaq::ledger_internal

#endif  // EAQ_LEDGER_ROWS_H_

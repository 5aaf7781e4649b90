// The ledger's numbers for other programs. Rows come in a fixed order, numbers with 17 significant digits.
#ifndef EAQ_LEDGER_EXPORT_H_
#define EAQ_LEDGER_EXPORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "eaq/ledger/ledger.h"

namespace eaq {

// Tidy and long: one metric of one trial per row, "trial,model,recipe,scheme,seed,metric,domain,layer,kind,value"
// (RFC 4180). LAYER is empty for the whole, VALUE for what is not finite.
absl::StatusOr<std::string> ExportCsv(Ledger& ledger, const TrialFilter& filter = {});

// The same as one JSON array of trials, each with its labels, spec (textproto), digest, metrics, provenance.
absl::StatusOr<std::string> ExportJson(Ledger& ledger, const TrialFilter& filter = {});

}  // namespace eaq

#endif  // EAQ_LEDGER_EXPORT_H_

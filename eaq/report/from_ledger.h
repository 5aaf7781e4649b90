// From the ledger's rows to the report's inputs.
//
//   for (const std::string& key : keys_in_order) AddStoredTrial(trial, inputs);
#ifndef EAQ_REPORT_FROM_LEDGER_H_
#define EAQ_REPORT_FROM_LEDGER_H_

#include "eaq/ledger/types.h"
#include "eaq/report/comparison.h"

namespace eaq {

// A finished trial lands in `trials` (with the time and memory of its first successful attempt), one whose last attempt
// ended badly in `failures`, one without attempts raises `pending`. The provenance of the first trial that has one is
// taken over where inputs.provenance is still empty; the corpora of all are collected.
void AddStoredTrial(const StoredTrial& trial, ReportInputs& inputs);

}  // namespace eaq

#endif  // EAQ_REPORT_FROM_LEDGER_H_

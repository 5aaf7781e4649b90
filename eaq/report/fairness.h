// The fairness gate: which trials may stand in one table. Inside the room eaq/report.
#ifndef EAQ_REPORT_FAIRNESS_H_
#define EAQ_REPORT_FAIRNESS_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "eaq/report/comparison.h"

namespace eaq::report_internal {

// "encyclopedia, code"
std::string DomainNames(const google::protobuf::RepeatedPtrField<CorpusRef>& domains);
// True when the recipe reads calibration tokens.
bool UsesCalibration(const TrialSpec& spec);
// "64 windows of 256 tokens: encyclopedia, code"; "none".
std::string CalibrationText(const TrialSpec& spec);
// Model and evaluation of a trial, as bytes: equal exactly when two trials were measured by the same yardstick. Model
// hash, tokenizer, evaluation domains, windows, window length, the texts' hashes, tasks, numerics version.
std::string Yardstick(const TrialSpec& spec);
// How B's yardstick differs from A's, in words: "evaluation windows 32 instead of 64".
std::string YardstickDifference(const TrialSpec& a, const TrialSpec& b);
// Calibration budget and domains without the seed; "" when none is used.
std::string CalibrationBudget(const TrialSpec& spec);

struct Gate {
  std::vector<const ReportTrial*> admitted;  // in the given order
  std::vector<std::string> refused;          // one line each: which trial, why
  std::string calibration;                   // the budget most trials share
  const TrialSpec* reference = nullptr;      // a trial of the yardstick admitted
};
// Admits the trials of one yardstick: that of full precision that most trials share, or without full precision the
// commonest (the first among equals).
Gate PassGate(absl::Span<const ReportTrial> trials);

// What all admitted trials share, one line each.
std::vector<std::string> EqualLines(const Gate& gate);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_FAIRNESS_H_

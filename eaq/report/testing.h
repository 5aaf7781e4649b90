// Made-up trials for the tests of this room: methods x schemes x seeds x domains with a known order.
#ifndef EAQ_REPORT_TESTING_H_
#define EAQ_REPORT_TESTING_H_

#include <string>

#include "eaq/report/comparison.h"

namespace eaq::report_internal {

struct SyntheticOptions {
  int methods = 4, schemes = 4, seeds = 3, domains = 4;
  int windows = 64, windows_per_document = 2;
  int layers = 4, experts = 16;
};

// Full precision and `methods` x `schemes` x `seeds` trials. Method 0 (RTN) is the worst and uses no calibration; the
// last one (GPTQ) is the best; scheme 0 (W8A8) differs from full precision by less than the margin.
ReportInputs SyntheticInputs(const SyntheticOptions& options = {});

// Gives all trials of IN a task of minimal pairs called NAME: 30 paradigms of 40 pairs in three phenomena. Full
// precision is right with the probability FULL_ACCURACY, trials of scheme s lose 0, 2, 5, 12 points of that.
void AddSyntheticTask(const std::string& name, double full_accuracy, ReportInputs& in);

// Likewise a task of multiple choice: 400 items of four candidates, so that chance is 1/4; its normalised accuracy is
// five points higher. CONSTANT: what always the same answer gives.
void AddSyntheticChoices(const std::string& name, double full_accuracy, double constant, ReportInputs& in);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_TESTING_H_

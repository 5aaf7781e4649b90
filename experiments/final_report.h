// The end of a sweep: the comparison on standard output, the report's files below a folder.
#ifndef EXPERIMENTS_FINAL_REPORT_H_
#define EXPERIMENTS_FINAL_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/ledger/ledger.h"
#include "experiments/experiment.pb.h"
#include "experiments/planner.h"

namespace eaq {

struct FinalReportOptions {
  bool color = false, timings = true, json = false;
  int width = 0;
  std::string folder;  // gets NAME.html, NAME.csv, NAME.tex
  std::string command;
};
struct FinalReport {
  std::string text;                // for standard output
  std::vector<std::string> files;  // written
};

// NotFound when no trial of the plan is done.
absl::StatusOr<FinalReport> MakeFinalReport(const Experiment& experiment, const SweepPlan& plan, Ledger& ledger,
                                            const FinalReportOptions& options);

}  // namespace eaq

#endif  // EXPERIMENTS_FINAL_REPORT_H_

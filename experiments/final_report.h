// The end of a sweep: the comparison on standard output, the report's files below a folder.
//
// One comparison per model and form (as published, equal), in the order of the spec: models are no rivals, and the two
// forms answer different questions. All stand in one text, page, CSV and LaTeX file.
#ifndef EXPERIMENTS_FINAL_REPORT_H_
#define EXPERIMENTS_FINAL_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/ledger/ledger.h"
#include "experiments/expand.h"
#include "experiments/experiment.pb.h"
#include "experiments/planner.h"

namespace eaq {

struct FinalReportOptions {
  bool color = false, timings = true, json = false;
  int width = 0;
  // Gets NAME.html, NAME.csv, NAME.tex, NAME_cost.csv, NAME.figures/*.svg; with ablations NAME_ablation.csv, with
  // several models NAME_summary.csv.
  std::string folder;
  std::string command;
};
struct FinalReport {
  std::string text;                // for standard output
  std::vector<std::string> files;  // written; of figures the folder, and how many
};

// PLAN: of EXPANSION's trials (plan.asked[i] is expansion.trials[i], resolved). NotFound when no trial is done.
absl::StatusOr<FinalReport> MakeFinalReport(const Experiment& experiment, const Expansion& expansion,
                                            const SweepPlan& plan, Ledger& ledger, const FinalReportOptions& options);

}  // namespace eaq

#endif  // EXPERIMENTS_FINAL_REPORT_H_

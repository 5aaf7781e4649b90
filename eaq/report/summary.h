// Every method on every model under one scheme: who is where, and what may be said of it. Inside the room eaq/report.
#ifndef EAQ_REPORT_SUMMARY_H_
#define EAQ_REPORT_SUMMARY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "eaq/report/comparison.h"

namespace eaq::report_internal {

struct SummaryCell {
  size_t part = 0;       // index of the comparison
  int group = 0;         // and of its row
  int rank = 0, of = 0;  // among the unmarked rows of its scheme and class, by the pooled loss; 0: marked
  int rank_class = 0, classes = 1;
  int best = -1;                            // the row it is compared with; itself: it is the best
  std::optional<PairedResult> versus_best;  // absent for the best and for marked rows. p_holm: over the model's duels
};
struct SummaryRow {
  std::string recipe;
  std::vector<std::optional<SummaryCell>> cell;  // by model; absent: no finished trial
  double mean_rank = 0;                          // over the models where it is ranked; 0: nowhere
  int ranked = 0;                                // so many models
  int unbeaten = 0;                              // of these: the best, or the best is not significantly better
};
// One scheme in one form of the experiment. Rows: ranked in more models first, then by mean rank, then in table order.
struct SummaryTable {
  std::string form, scheme;
  std::vector<std::string> models;
  std::vector<SummaryRow> rows;
  bool equal_bits = true;  // within every model the rows' stored bits are one number to kBitsTolerance
};

// Of experiments with at least two models, else none.
std::vector<SummaryTable> SummarizeModels(absl::Span<const Comparison> parts);

std::string SummaryHtml(absl::Span<const Comparison> parts);  // the body of a section; "" without tables

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_SUMMARY_H_

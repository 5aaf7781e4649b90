// What a person reads of an experiment: Compare() turns trials into a Comparison, the Render functions turn that into a
// terminal table, one self-contained HTML page, CSV, LaTeX and JSON.
//
//   ReportInputs inputs;
//   inputs.title = "methods x schemes";
//   for (const StoredTrial& t : stored) AddStoredTrial(t, inputs);   // eaq/report/from_ledger.h
//   inputs.provenance.command = "./bazelw run //experiments:sweep";
//   EAQ_ASSIGN_OR_RETURN(const Comparison comparison, Compare(inputs, {}));
//   std::cout << RenderText(comparison, {.color = true, .width = 120});
//   EAQ_RETURN_IF_ERROR(WriteFileAtomic(path, RenderHtml(comparison)));
//
// Everything is a function of its arguments: no clock, no locale, no environment. The same inputs in the same order
// give the same bytes. Nothing is sampled and nothing depends on what else is shown, but the Holm correction, whose
// family is the table. Order: schemes and recipes appear as they first appear in `trials` (or sorted: canonical_order).
#ifndef EAQ_REPORT_REPORT_H_
#define EAQ_REPORT_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/report/comparison.h"

namespace eaq {

// NotFound without any finished trial. InvalidArgument for results that are broken (NaN, a series shorter than its list
// of documents); a trial that merely does not fit the others (another model, other evaluation text) is set aside in
// Comparison::refused, with the reason.
absl::StatusOr<Comparison> Compare(const ReportInputs& inputs, const CompareOptions& options = {});

struct TextOptions {
  bool color = false;   // ANSI. The caller decides: --color, NO_COLOR, TERM, isatty
  int width = 120;      // columns; the table drops columns, named in the footer, rather than wrap. 0: no limit
  bool timings = true;  // false: no wall time, so that the tables of two runs can be compared byte by byte
};
std::string RenderText(const Comparison& comparison, const TextOptions& options = {});

// One self-contained page: no external reference, readable without scripts, light and dark.
std::string RenderHtml(const Comparison& comparison);
// Several comparisons of one experiment (models, forms), at least one, one after the other on a page.
std::string RenderHtml(absl::Span<const Comparison> parts);

// One row per scheme x recipe x domain ("all" is the pool), all columns, %.17g-exact numbers.
std::string RenderCsv(const Comparison& comparison);
std::string RenderCsv(absl::Span<const Comparison> parts);
// One row per effect of every ablation; "" without any.
std::string RenderAblationCsv(absl::Span<const Comparison> parts);

// One row per recipe of every cost table: time, memory, calibration tokens; "" without any.
std::string RenderCostCsv(absl::Span<const Comparison> parts);

// The figures of the page as SVG documents of their own: (name, document), "front" or "ref-s_front" where there are
// several parts, light colours on white. All but the maps of errors by matrix, which are one for every row.
std::vector<std::pair<std::string, std::string>> RenderPictures(absl::Span<const Comparison> parts);

// A table for a paper: booktabs, +- half-interval, significance marks, best in bold, a footnote naming ledger and
// commit.
std::string RenderLatex(const Comparison& comparison);

std::string RenderJson(const Comparison& comparison);

// One line per claim: where it holds, where not, over all parts. "" without claims.
std::string RenderClaims(absl::Span<const Comparison> parts);

// Methods x models, scheme by scheme: difference, size, rank, verdict against the best; "" with fewer than two models.
std::string RenderSummary(absl::Span<const Comparison> parts, const TextOptions& options = {});
std::string RenderSummaryCsv(absl::Span<const Comparison> parts);

}  // namespace eaq

#endif  // EAQ_REPORT_REPORT_H_

// Minimal pairs in the report: accuracies against full precision, and how renderings show them. Inside the room.
#ifndef EAQ_REPORT_TASKS_H_
#define EAQ_REPORT_TASKS_H_

#include <string>

#include "absl/status/status.h"
#include "eaq/report/comparison.h"
#include "eaq/report/fairness.h"

namespace eaq::report_internal {

// Differences of accuracy inside +-1 percentage point count as equivalent.
inline constexpr double kTaskMargin = 0.01;

// Fills in c.tasks and Group::task of every group from the series "correct" of its trials. The unit of the statistics
// is a paradigm (its mean over pairs): pairs of one template are no independent witnesses. InvalidArgument for a trial
// without the series of a task that its spec has.
absl::Status CompareTasks(const Gate& gate, Resampler& resampler, Comparison& c);

std::string TaskAccuracy(const TaskCell& cell);  // "58.3%"
// "-0.53 [-0.91, -0.15]" in percentage points; "at chance"; "-" without full precision.
std::string TaskDelta(const TaskSummary& task, const TaskCell& cell);
// What was measured, where full precision stands, and the verdicts: two or three sentences.
std::string TaskNote(const Comparison& c, size_t task);

// Parts of the HTML page: header cells, the cells of a row, a table by phenomenon ("" without tasks).
std::string TaskHeadHtml(const Comparison& c);
std::string TaskCellsHtml(const Comparison& c, const Group& g);
std::string TaskSectionHtml(const Comparison& c);
// Parts of the CSV, each with a leading comma; "" without tasks. ROW_HAS_TASKS: else as many empty fields.
std::string TaskHeadCsv(const Comparison& c);
std::string TaskCellsCsv(const Comparison& c, const Group& g, bool row_has_tasks);
// ",\"tasks\":[...]" of a group, and of the comparison; "" without tasks.
std::string TaskCellsJson(const Group& g);
std::string TasksJson(const Comparison& c);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_TASKS_H_

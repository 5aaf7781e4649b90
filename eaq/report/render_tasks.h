// How renderings show tasks. Inside the room.
#ifndef EAQ_REPORT_RENDER_TASKS_H_
#define EAQ_REPORT_RENDER_TASKS_H_

#include <string>

#include "eaq/report/comparison.h"
#include "eaq/report/report.h"

namespace eaq::report_internal {

// "-0.53 [-0.91, -0.15]" in percentage points; "-" without full precision.
std::string TaskDelta(const TaskCell& cell);
// What was measured, where full precision stands, and the verdicts: a few sentences.
std::string TaskNote(const Comparison& c, size_t task);

// One table for all tasks, then their notes; "" without tasks.
std::string TasksText(const Comparison& c, const TextOptions& options);
// The body of a section: a table by phenomenon or domain for each task, and one of what beats what.
std::string TaskSectionHtml(const Comparison& c);
// Parts of the CSV, each with a leading comma; "" without tasks. ROW_HAS_TASKS: else as many empty fields.
std::string TaskHeadCsv(const Comparison& c);
std::string TaskCellsCsv(const Comparison& c, const Group& g, bool row_has_tasks);
// ",\"tasks\":[...]" of a group, and of the comparison; "" without tasks.
std::string TaskCellsJson(const Group& g);
std::string TasksJson(const Comparison& c);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_RENDER_TASKS_H_

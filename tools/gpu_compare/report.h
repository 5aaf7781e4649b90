// What tools/gpu_check.sh wrote, and the comparison of two such files: one machine, two commits.
//
//   EAQ_ASSIGN_OR_RETURN(const GpuReport before, ParseGpuReport(text));
//   const GpuComparison c = CompareGpuReports(before, after, /*tolerance=*/0.05);
//   if (c.worse()) ...
#ifndef TOOLS_GPU_COMPARE_REPORT_H_
#define TOOLS_GPU_COMPARE_REPORT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq::gpu_compare {

struct GpuReport {
  std::string device;
  int sm = 0;                             // 90, ...
  bool passed = false;                    // all its checks
  std::map<std::string, int64_t> checks;  // name -> expectations that failed
  std::map<std::string, double> seconds;  // "benchmark: label" -> seconds of one call
};

// InvalidArgument with the key that is missing or of another kind, or for a benchmark without a time above 0.
// The measured error that some labels end in (", off by 8.2e-08") is no part of the name.
absl::StatusOr<GpuReport> ParseGpuReport(absl::string_view json);

struct GpuComparison {
  std::vector<std::string> broken;   // checks that fail after, and did not before
  std::vector<std::string> mended;   // the other way round
  std::vector<std::string> slower;   // by more than the tolerance, worst first, with both times
  std::vector<std::string> faster;   // best first
  std::vector<std::string> missing;  // checks and benchmarks of the first alone: what is not run any more
  std::vector<std::string> added;    // of the second alone
  int compared = 0;                  // benchmarks of both
  double mean_ratio = 1;             // geometric mean of after / before over these
  // A check that broke or is gone, a time that grew.
  bool worse() const { return !broken.empty() || !slower.empty() || !missing.empty(); }
};

// tolerance: 0.05 lets a time grow by 5 %.
GpuComparison CompareGpuReports(const GpuReport& before, const GpuReport& after, double tolerance);

// Text for people: counts, then one line each.
std::string Print(const GpuComparison& comparison);

}  // namespace eaq::gpu_compare

#endif  // TOOLS_GPU_COMPARE_REPORT_H_

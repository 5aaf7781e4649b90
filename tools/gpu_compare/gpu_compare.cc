// Two files of tools/gpu_check.sh: which checks broke, which times changed.
//
//   gpu_compare [--tolerance=0.05] [--other-device] BEFORE.json AFTER.json
//
// Exit code: 0 nothing is worse, 1 something is, 2 the files cannot be compared (another GPU, without --other-device).
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "tools/gpu_compare/report.h"

namespace eaq::gpu_compare {
namespace {

int Run(int argc, char** argv) {
  double tolerance = 0.05;
  bool other_device = false, good = true;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (absl::StartsWith(argument, "--tolerance=")) {
      good = good && absl::SimpleAtod(argument.substr(12), &tolerance) && tolerance >= 0;
    } else if (argument == "--other-device") {
      other_device = true;
    } else if (absl::StartsWith(argument, "-")) {
      good = false;
    } else {
      paths.push_back(argument);
    }
  }
  if (!good || paths.size() != 2) {
    absl::FPrintF(stderr, "usage: gpu_compare [--tolerance=0.05] [--other-device] BEFORE.json AFTER.json\n");
    return 2;
  }
  std::vector<GpuReport> reports;
  for (const std::string& path : paths) {
    const absl::StatusOr<std::string> text = ReadFile(ResolveUserPath(path));
    const absl::StatusOr<GpuReport> report = text.ok() ? ParseGpuReport(*text) : text.status();
    if (!report.ok()) {
      absl::FPrintF(stderr, "gpu_compare: %s: %s\n", path, report.status().message());
      return 2;
    }
    reports.push_back(*report);
  }
  if (reports[0].device != reports[1].device && !other_device) {
    absl::FPrintF(stderr, "gpu_compare: measured on %s and on %s; --other-device compares them all the same\n",
                  reports[0].device, reports[1].device);
    return 2;
  }
  const GpuComparison comparison = CompareGpuReports(reports[0], reports[1], tolerance);
  absl::PrintF("%s", Print(comparison));
  return comparison.worse() ? 1 : 0;
}

}  // namespace
}  // namespace eaq::gpu_compare

int main(int argc, char** argv) { return eaq::gpu_compare::Run(argc, argv); }

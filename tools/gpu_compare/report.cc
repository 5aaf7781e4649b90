#include "tools/gpu_compare/report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"

namespace eaq::gpu_compare {
namespace {

absl::Status Wrong(absl::string_view where, absl::string_view key, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("gpu_check's JSON, ", where, ": \"", key, "\": expected ", expected));
}

absl::StatusOr<std::string> Text(const Json& object, const char* key, absl::string_view where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return Wrong(where, key, "a string");
  return found->get<std::string>();
}

absl::StatusOr<double> Number(const Json& object, const char* key, absl::string_view where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return Wrong(where, key, "a number");
  return found->get<double>();
}

// An array of objects; none where the key is missing (a run without checks, or without benchmarks).
absl::StatusOr<Json> Objects(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return Json::array();
  if (!found->is_array()) return Wrong("top", key, "an array");
  for (const Json& entry : *found) {
    if (!entry.is_object()) return Wrong("top", key, "an array of objects");
  }
  return *found;
}

}  // namespace

absl::StatusOr<GpuReport> ParseGpuReport(absl::string_view text) {
  EAQ_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  if (!json.is_object()) return Wrong("top", "{", "an object");
  GpuReport report;
  EAQ_ASSIGN_OR_RETURN(report.device, Text(json, "device", "top"));
  EAQ_ASSIGN_OR_RETURN(const double sm, Number(json, "sm", "top"));
  report.sm = static_cast<int>(sm);
  const auto passed = json.find("passed");
  if (passed == json.end() || !passed->is_boolean()) return Wrong("top", "passed", "true or false");
  report.passed = passed->get<bool>();
  EAQ_ASSIGN_OR_RETURN(const Json checks, Objects(json, "checks"));
  for (const Json& check : checks) {
    EAQ_ASSIGN_OR_RETURN(const std::string name, Text(check, "name", "checks"));
    EAQ_ASSIGN_OR_RETURN(const double failures, Number(check, "failures", name));
    report.checks[name] = static_cast<int64_t>(failures);
  }
  EAQ_ASSIGN_OR_RETURN(const Json benchmarks, Objects(json, "benchmarks"));
  for (const Json& benchmark : benchmarks) {
    EAQ_ASSIGN_OR_RETURN(const std::string of, Text(benchmark, "benchmark", "benchmarks"));
    EAQ_ASSIGN_OR_RETURN(std::string label, Text(benchmark, "label", of));
    label = label.substr(0, label.find(", off by "));
    EAQ_ASSIGN_OR_RETURN(const double seconds, Number(benchmark, "seconds", label));
    if (!(seconds > 0)) return Wrong(label, "seconds", "a number above 0");
    report.seconds[absl::StrCat(of, ": ", label)] = seconds;
  }
  return report;
}

GpuComparison CompareGpuReports(const GpuReport& before, const GpuReport& after, double tolerance) {
  GpuComparison c;
  for (const auto& [name, failures] : before.checks) {
    const auto found = after.checks.find(name);
    if (found == after.checks.end()) {
      c.missing.push_back(absl::StrCat("check ", name));
    } else if (failures == 0 && found->second > 0) {
      c.broken.push_back(absl::StrCat(name, ": ", found->second, " expectations fail"));
    } else if (failures > 0 && found->second == 0) {
      c.mended.push_back(name);
    }
  }
  for (const auto& [name, failures] : after.checks) {
    if (before.checks.count(name) != 0) continue;
    if (failures > 0) {
      c.broken.push_back(absl::StrCat(name, ": ", failures, " expectations fail (a new check)"));
    } else {
      c.added.push_back(absl::StrCat("check ", name));
    }
  }
  std::vector<std::pair<double, std::string>> slower, faster;
  double logarithms = 0;
  for (const auto& [name, seconds] : before.seconds) {
    const auto found = after.seconds.find(name);
    if (found == after.seconds.end()) {
      c.missing.push_back(name);
      continue;
    }
    const double ratio = found->second / seconds;
    ++c.compared;
    logarithms += std::log(ratio);
    const std::string line =
        absl::StrFormat("%5.2f times  %s: %.2f -> %.2f us", ratio, name, seconds * 1e6, found->second * 1e6);
    if (ratio > 1 + tolerance) slower.emplace_back(-ratio, line);
    if (ratio < 1 / (1 + tolerance)) faster.emplace_back(ratio, line);
  }
  for (const auto& [name, seconds] : after.seconds) {
    if (before.seconds.count(name) == 0) c.added.push_back(name);
  }
  if (c.compared > 0) c.mean_ratio = std::exp(logarithms / c.compared);
  std::sort(slower.begin(), slower.end());
  std::sort(faster.begin(), faster.end());
  for (auto& [ratio, line] : slower) c.slower.push_back(std::move(line));
  for (auto& [ratio, line] : faster) c.faster.push_back(std::move(line));
  return c;
}

std::string Print(const GpuComparison& c) {
  std::string text = absl::StrFormat("%d times compared: %.3f times as long in the mean; %d slower, %d faster\n",
                                     c.compared, c.mean_ratio, c.slower.size(), c.faster.size());
  const std::pair<const char*, const std::vector<std::string>*> parts[] = {
      {"broken", &c.broken}, {"missing", &c.missing}, {"slower", &c.slower},
      {"mended", &c.mended}, {"faster", &c.faster},   {"new", &c.added}};
  for (const auto& [title, lines] : parts) {
    for (const std::string& line : *lines) absl::StrAppend(&text, title, ": ", line, "\n");
  }
  return text;
}

}  // namespace eaq::gpu_compare

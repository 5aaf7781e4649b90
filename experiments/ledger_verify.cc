#include "experiments/ledger_verify.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/ledger/digest.h"

namespace eaq {
namespace {

bool SameBits(double a, double b) { return (a != a && b != b) || std::memcmp(&a, &b, sizeof(a)) == 0; }

// The first number that differs outside the stages, in words.
std::string FirstDifference(const TrialResult& a, const TrialResult& b) {
  if (a.metric_size() != b.metric_size()) {
    return absl::StrCat(a.metric_size(), " metrics then, ", b.metric_size(), " now");
  }
  for (int i = 0; i < a.metric_size(); ++i) {
    const Metric &x = a.metric(i), &y = b.metric(i);
    const bool same_place = x.name() == y.name() && x.domain() == y.domain() && x.layer() == y.layer();
    if (same_place && x.has_value() == y.has_value() && SameBits(x.value(), y.value())) continue;
    return absl::StrFormat("metric %s %s: %.17g then, %s %s: %.17g now", x.name(), x.domain(), x.value(), y.name(),
                           y.domain(), y.value());
  }
  if (a.series_size() != b.series_size()) {
    return absl::StrCat(a.series_size(), " series then, ", b.series_size(), " now");
  }
  for (int i = 0; i < a.series_size(); ++i) {
    const Series &x = a.series(i), &y = b.series(i);
    const std::string name = absl::StrCat("series ", x.metric(), " ", x.domain());
    if (x.value_size() != y.value_size()) return absl::StrCat(name, ": ", x.value_size(), " and ", y.value_size());
    for (int w = 0; w < x.value_size(); ++w) {
      if (!SameBits(x.value(w), y.value(w))) {
        return absl::StrFormat("%s, window %d: %.17g then, %.17g now", name, w, x.value(w), y.value(w));
      }
    }
  }
  return "linears, expert use or documents differ";
}

Verdict Differs(std::string stage, std::string text) { return {false, std::move(stage), std::move(text)}; }

}  // namespace

Verdict CompareRuns(const StoredTrial& stored, const TrialResult& again) {
  if (!stored.result.has_value()) return Differs("", "there is no stored result to compare with");
  const TrialResult& then = *stored.result;
  for (int i = 0; i < then.stage_size() || i < again.stage_size(); ++i) {
    if (i >= again.stage_size()) {
      return Differs(then.stage(i).stage(), absl::StrCat("stage ", then.stage(i).stage(), " was not run this time"));
    }
    const StageRun& now = again.stage(i);
    if (i >= then.stage_size() || then.stage(i).stage() != now.stage()) {
      return Differs(now.stage(), absl::StrCat("stage ", now.stage(), " was not run then"));
    }
    if (then.stage(i).hash() != now.hash()) {
      return Differs(now.stage(), absl::StrCat("stage ", now.stage(), " is the first whose output differs: ",
                                               then.stage(i).hash(), " then, ", now.hash(), " now"));
    }
  }
  const std::string digest = ResultDigest(again);
  if (digest == stored.digest) {
    return {true, "",
            absl::StrCat("the same bits: ", then.stage_size(), " stages, ", then.metric_size(), " metrics, ",
                         then.series_size(), " series")};
  }
  return Differs("", absl::StrCat("all ", then.stage_size(),
                                  " stages agree, the result does not: ", FirstDifference(then, again)));
}

}  // namespace eaq

#include "eaq/ledger/digest.h"

#include <cmath>
#include <limits>

#include "eaq/base/hash.h"
#include "eaq/ledger/trial_key.h"

namespace eaq {
namespace {

// A NaN's sign and payload depend on the instruction that made it, not on the result.
double OneNan(double value) { return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value; }

}  // namespace

TrialResult WithoutTimings(const TrialResult& result) {
  TrialResult content = result;
  content.clear_wall_seconds();
  content.clear_peak_memory_bytes();
  content.clear_threads();
  for (StageRun& stage : *content.mutable_stage()) {
    stage.clear_seconds();
    stage.clear_from_cache();
  }
  return content;
}

std::string ResultDigest(const TrialResult& result) {
  TrialResult content = WithoutTimings(result);
  for (Metric& metric : *content.mutable_metric()) {
    if (metric.has_value()) metric.set_value(OneNan(metric.value()));
  }
  for (Series& series : *content.mutable_series()) {
    for (double& value : *series.mutable_value()) value = OneNan(value);
  }
  for (LinearReport& linear : *content.mutable_linear()) {
    if (linear.has_weight_error()) linear.set_weight_error(OneNan(linear.weight_error()));
    if (linear.has_output_error()) linear.set_output_error(OneNan(linear.output_error()));
  }
  for (TrialResult::ExpertUse& use : *content.mutable_expert_use()) {
    for (double& value : *use.mutable_share()) value = OneNan(value);
  }
  return Fingerprint("result/v1").Add(SerializeDeterministic(content)).Hex();
}

}  // namespace eaq

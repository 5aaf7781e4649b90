// The one way to write a number into a TrialResult.
#ifndef EAQ_PROTO_ADD_METRIC_H_
#define EAQ_PROTO_ADD_METRIC_H_

#include <string>

#include "eaq/proto/trial.pb.h"

namespace eaq {

// DOMAIN: "" for a number of the whole trial; LAYER: below 0 for one of no single layer.
inline void AddMetric(const std::string& name, const std::string& domain, double value, TrialResult& result,
                      int layer = -1) {
  Metric& metric = *result.add_metric();
  metric.set_name(name);
  if (!domain.empty()) metric.set_domain(domain);
  if (layer >= 0) metric.set_layer(layer);
  metric.set_value(value);
}

}  // namespace eaq

#endif  // EAQ_PROTO_ADD_METRIC_H_

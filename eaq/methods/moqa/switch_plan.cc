#include "eaq/methods/moqa/switch_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/proto/add_metric.h"
#include "eaq/quant/row_cache.h"

namespace eaq::moqa {
namespace {

constexpr Role kParts[] = {Role::kGate, Role::kUp, Role::kDown};

// The width that cached rows of a linear of BASE bits take where the allocator gives WANTED.
int WidthOf(MoQaSwitching::Mode mode, int base, int wanted) {
  if (mode == MoQaSwitching::FP16_ROWS) return kFloat16;
  const bool moves = mode == MoQaSwitching::UP_ONLY ? wanted > base : wanted != base;
  return moves ? wanted : kAsRounded;
}

void AddRows(const SwitchInputs& in, SwitchPlan& out) {
  double cached = 0;
  std::vector<double> switched(in.plan_of_set.size(), 0.0);
  for (const AllocationUnit& unit : in.experts) {
    const LayerStatistics& statistics = in.of_known->at(unit.layer);
    for (int m = 0; m < 3; ++m) {
      const LinearId id{unit.layer, kParts[m], unit.expert};
      const int base = in.plan->at(id).bits;
      const size_t lists = in.by_damage ? in.widths.size() : 1;
      const size_t list = in.by_damage ? std::find(in.widths.begin(), in.widths.end(), base) - in.widths.begin() : 0;
      const std::vector<int32_t>& rows = statistics.rows[(unit.expert * 3 + m) * lists + list];
      if (rows.empty()) continue;
      cached += static_cast<double>(rows.size());
      out.rows[id] = rows;
      std::vector<int>& bits = out.bits_of_set[id];
      for (size_t s = 0; s < in.plan_of_set.size(); ++s) {
        bits.push_back(WidthOf(in.mode, base, in.plan_of_set[s].at(id).bits));
        if (bits.back() != kAsRounded) switched[s] += static_cast<double>(rows.size());
      }
    }
  }
  const auto add = [&](const std::string& name, const std::string& domain, double value) {
    Metric& metric = *out.analyses.add_metric();
    metric.set_name(name);
    if (!domain.empty()) metric.set_domain(domain);
    metric.set_value(value);
  };
  add("cached_rows", "", cached);
  for (size_t s = 0; s < switched.size(); ++s) {
    add("switched_rows", out.sets[s], cached > 0 ? switched[s] / cached : 0);
  }
}

void AddTable(const std::string& name, const std::string& domain, int layer, absl::Span<const double> values,
              TrialResult& to) {
  TrialResult::ExpertTable& table = *to.add_expert_table();
  table.set_name(name);
  if (!domain.empty()) table.set_domain(domain);
  table.set_layer(layer);
  for (const double v : values) table.add_value(v);
}

// Standard deviation over mean.
double Variation(const std::vector<double>& x) {
  const double n = static_cast<double>(x.size()), mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double squares = 0;
  for (const double v : x) squares += (v - mean) * (v - mean);
  return mean > 0 ? std::sqrt(squares / n) / mean : 0;
}

// R3: the standard deviation of every expert's significance over the sets.
std::vector<double> Dynamics(const LayerStatistics& s) {
  std::vector<double> dynamics(s.baseline.size(), 0.0);
  for (size_t e = 0; e < dynamics.size(); ++e) {
    for (const std::vector<double>& of_set : s.significance) {
      const double d = of_set[e] - s.baseline[e];
      dynamics[e] += d * d / static_cast<double>(s.significance.size());
    }
    dynamics[e] = std::sqrt(dynamics[e]);
  }
  return dynamics;
}

// Of every layer, over an expert's three matrices.
void AddWidths(const SwitchInputs& in, const BitPlan& plan, const std::string& domain, TrialResult& to) {
  for (const auto& [begin, end] : LayerRuns(in.experts)) {
    std::vector<double> widths;
    for (size_t u = begin; u < end; ++u) {
      double bits = 0;
      for (const Role part : kParts) bits += plan.at({in.experts[u].layer, part, in.experts[u].expert}).bits;
      widths.push_back(bits / 3);
    }
    AddTable("width", domain, in.experts[begin].layer, widths, to);
  }
}

}  // namespace

SwitchPlan BuildSwitchPlan(const SwitchInputs& in) {
  SwitchPlan out;
  out.sets = in.known;
  out.sets.insert(out.sets.end(), in.further.begin(), in.further.end());
  out.known = static_cast<int>(in.known.size());
  out.always_float16 = in.mode == MoQaSwitching::FP16_ROWS;
  AddRows(in, out);
  TrialResult& to = out.analyses;
  for (const auto& [layer, s] : *in.of_known) {
    for (size_t d = 0; d < in.known.size(); ++d) {
      AddTable("significance", in.known[d], layer, s.significance[d], to);
      AddTable("tokens", in.known[d], layer, s.tokens[d], to);
      AddMetric("tokens_variation", in.known[d], Variation(s.tokens[d]), to, layer);
      AddMetric("sure_gates", in.known[d], s.sure[d], to, layer);
    }
    for (size_t d = 0; d < in.further.size(); ++d) {
      AddTable("significance", in.further[d], layer, in.of_further->at(layer).significance[d], to);
    }
    AddTable("dynamics", "", layer, Dynamics(s), to);
    AddTable("co_activation", "", layer, s.co_activation, to);
    AddTable("similarity", "", layer, s.similarity, to);
    size_t pair = 0;
    for (size_t a = 0; a < in.known.size(); ++a) {
      for (size_t b = a + 1; b < in.known.size(); ++b, ++pair) {
        AddMetric("channel_concentration", absl::StrCat(in.known[a], " | ", in.known[b]), s.concentration[pair], to,
                  layer);
      }
    }
    AddMetric("channel_top_share", "", s.top_share, to, layer);
  }
  AddWidths(in, *in.plan, "", to);
  for (size_t s = 0; s < in.plan_of_set.size(); ++s) AddWidths(in, in.plan_of_set[s], out.sets[s], to);
  return out;
}

}  // namespace eaq::moqa

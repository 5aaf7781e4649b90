#include "eaq/report/groups.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_macros.h"
#include "eaq/report/expert_analysis.h"
#include "eaq/report/ranking.h"

namespace eaq::report_internal {
namespace {

std::string Content(const google::protobuf::Message& message) { return message.SerializeAsString(); }

std::string SchemeId(const TrialSpec& spec) {
  if (!spec.has_scheme()) return "";
  Scheme scheme = spec.scheme();
  scheme.clear_name();
  return absl::StrCat("s", Content(scheme));
}

std::string RecipeId(const TrialSpec& spec) {
  if (!spec.has_scheme()) return "";
  Recipe recipe = spec.recipe();
  recipe.clear_name();
  recipe.clear_title();
  return absl::StrCat("r", Content(recipe), "|", CalibrationBudget(spec));
}

// What is left of the scheme when the weights' widths may differ.
std::string SchemeRest(const TrialSpec& spec) {
  if (!spec.has_scheme()) return "";
  Scheme scheme = spec.scheme();
  scheme.clear_name();
  scheme.clear_weights();
  scheme.clear_budget();
  return Content(scheme);
}

uint64_t SeedOf(const TrialSpec& spec) { return UsesCalibration(spec) ? spec.calibration().seed() : 0; }

std::string RecipeLabel(const TrialSpec& spec) {
  if (!spec.has_scheme()) return "full precision";
  const Recipe& r = spec.recipe();
  if (r.has_title() && !r.title().empty()) return r.title();
  return r.name().empty() ? "unnamed" : r.name();
}

absl::Status Broken(const ReportTrial& trial, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("report: trial ", trial.key.substr(0, 12), ": ", what));
}

absl::StatusOr<WindowValues> SeriesOf(const ReportTrial& trial, absl::string_view metric, const std::string& domain) {
  for (const Series& s : trial.result.series()) {
    if (s.metric() != metric || s.domain() != domain) continue;
    if (s.value_size() != s.document_size()) {
      return Broken(trial, absl::StrCat("series ", metric, " of domain '", domain, "' has ", s.value_size(),
                                        " values and ", s.document_size(), " documents; expected as many"));
    }
    return WindowValues{{s.value().begin(), s.value().end()}, {s.document().begin(), s.document().end()}};
  }
  return absl::NotFoundError(
      absl::StrCat("report: trial ", trial.key.substr(0, 12), " has no series ", metric, " for domain '", domain, "'"));
}

// Mean over the trials of the metric's mean over its windows, or of the scalar metric over its layers; nullopt when no
// trial has it.
std::optional<double> MeanOf(const std::vector<const ReportTrial*>& trials, absl::string_view metric,
                             const std::string& domain) {
  double sum = 0;
  int64_t n = 0;
  for (const ReportTrial* trial : trials) {
    double part = 0;
    int64_t count = 0;
    for (const Metric& m : trial->result.metric()) {
      if (m.name() != metric || m.domain() != domain) continue;
      part += m.value();
      ++count;
    }
    if (count == 0) {
      for (const Series& s : trial->result.series()) {
        if (s.metric() != metric || s.domain() != domain) continue;
        for (const double v : s.value()) part += v;
        count += s.value_size();
      }
    }
    if (count == 0) continue;
    sum += part / static_cast<double>(count);
    ++n;
  }
  if (n == 0) return std::nullopt;
  return sum / static_cast<double>(n);
}

void AddRouter(Measured& m) {
  struct Sum {
    double topk = 0, change = 0, kl = 0;
    int topk_n = 0, change_n = 0, kl_n = 0;
  };
  std::map<int, Sum> layers;
  for (const ReportTrial* trial : m.trial) {
    for (const Metric& metric : trial->result.metric()) {
      if (!metric.has_layer()) continue;
      if (metric.name() == "router_topk_agreement") {
        layers[metric.layer()].topk += metric.value();
        ++layers[metric.layer()].topk_n;
      } else if (metric.name() == "router_top1_change") {
        layers[metric.layer()].change += metric.value();
        ++layers[metric.layer()].change_n;
      } else if (metric.name() == "router_kl") {
        layers[metric.layer()].kl += metric.value();
        ++layers[metric.layer()].kl_n;
      }
    }
  }
  for (const auto& [layer, s] : layers) {
    if (s.topk_n == 0) continue;
    m.group.router.push_back(
        {layer, s.topk / s.topk_n, s.change_n == 0 ? 0 : s.change / s.change_n, s.kl_n == 0 ? 0 : s.kl / s.kl_n});
  }
}

// "L3.e7.down" -> 3, 7, "down"; "L0.q" -> 0, -1, "q". False: something else, kept without a place in the heat map.
bool ParseLinear(const std::string& id, LinearError& out) {
  const std::vector<std::string> parts = absl::StrSplit(id, '.');
  if (parts.size() < 2 || parts[0].size() < 2 || parts[0][0] != 'L') return false;
  if (!absl::SimpleAtoi(parts[0].substr(1), &out.layer)) return false;
  if (parts.size() == 3 && (parts[1][0] != 'e' || !absl::SimpleAtoi(parts[1].substr(1), &out.expert))) return false;
  out.role = parts.back();
  return parts.size() <= 3;
}

void AddLinears(Measured& m) {
  std::vector<LinearError>& out = m.group.linear;
  std::map<std::string, size_t> index;
  std::vector<int> count, errors;
  for (const ReportTrial* trial : m.trial) {
    for (const LinearReport& l : trial->result.linear()) {
      if (l.bits() == 16) continue;  // left alone: nothing to show
      const auto [it, is_new] = index.emplace(l.id(), out.size());
      if (is_new) {
        LinearError e;
        e.id = l.id();
        if (!ParseLinear(l.id(), e)) e.layer = -1;
        e.bits = l.bits();
        out.push_back(std::move(e));
        count.push_back(0);
        errors.push_back(0);
      }
      LinearError& e = out[it->second];
      ++count[it->second];
      e.calibration_tokens += static_cast<double>(l.calibration_tokens());
      e.weight_error += l.weight_error();
      if (l.has_output_error()) {
        e.output_error = e.output_error.value_or(0) + l.output_error();
        ++errors[it->second];
      }
      if (!l.note().empty()) e.note = l.note();
    }
  }
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].calibration_tokens /= count[i];
    out[i].weight_error /= count[i];
    if (out[i].output_error) *out[i].output_error /= errors[i];
  }
}

absl::Status AddCells(const std::vector<std::string>& domains, Measured& m) {
  const size_t seeds = m.trial.size();
  m.seed_pooled.resize(seeds);
  for (const std::string& domain : domains) {
    std::vector<WindowValues> series;
    for (size_t s = 0; s < seeds; ++s) {
      EAQ_ASSIGN_OR_RETURN(WindowValues values, SeriesOf(*m.trial[s], "nll", domain));
      AppendWindows(domain, values, m.seed_pooled[s]);
      series.push_back(std::move(values));
    }
    absl::StatusOr<SeedCombination> combined = CombineSeeds(series);
    if (!combined.ok()) {
      return Annotate(combined.status(),
                      absl::StrCat("report: ", m.group.scheme, " ", m.group.recipe, ", domain '", domain, "'"));
    }
    DomainCell cell;
    cell.domain = domain;
    cell.windows = static_cast<int64_t>(combined->mean.value.size());
    cell.documents = static_cast<int64_t>(
        std::set<std::string>(combined->mean.document.begin(), combined->mean.document.end()).size());
    cell.nll = std::accumulate(combined->seed_mean.begin(), combined->seed_mean.end(), 0.0) /
               static_cast<double>(combined->seed_mean.size());
    cell.perplexity = std::exp(cell.nll);
    cell.kl = MeanOf(m.trial, "kl", domain);
    cell.greedy_agreement = MeanOf(m.trial, "greedy_agreement", domain);
    cell.router_topk_agreement = MeanOf(m.trial, "router_topk_agreement", domain);
    cell.router_top1_change = MeanOf(m.trial, "router_top1_change", domain);
    cell.router_kl = MeanOf(m.trial, "router_kl", domain);
    cell.seed_delta = combined->seed_mean;
    cell.seed_spread = combined->spread;
    AppendWindows(domain, combined->mean, m.pooled);
    m.group.domain.push_back(std::move(cell));
    m.nll.push_back(*std::move(combined));
    m.seed_nll.push_back(std::move(series));
  }
  return absl::OkStatus();
}

// Pools the domains' cells, weighted by their windows.
void AddPooledCell(Measured& m) {
  DomainCell& all = m.group.pooled;
  all.domain = "all";
  const auto pool = [&m](std::optional<double> DomainCell::*field) -> std::optional<double> {
    double sum = 0, n = 0;
    for (const DomainCell& cell : m.group.domain) {
      if (!(cell.*field)) return std::nullopt;
      sum += *(cell.*field) * static_cast<double>(cell.windows);
      n += static_cast<double>(cell.windows);
    }
    return sum / n;
  };
  for (const DomainCell& cell : m.group.domain) {
    all.windows += cell.windows;
    all.documents += cell.documents;
    all.nll += cell.nll * static_cast<double>(cell.windows);
  }
  all.nll /= static_cast<double>(all.windows);
  all.perplexity = std::exp(all.nll);
  all.kl = pool(&DomainCell::kl);
  all.greedy_agreement = pool(&DomainCell::greedy_agreement);
  all.router_topk_agreement = pool(&DomainCell::router_topk_agreement);
  all.router_top1_change = pool(&DomainCell::router_top1_change);
  all.router_kl = pool(&DomainCell::router_kl);
}

double ScalarMean(const std::vector<const ReportTrial*>& trials, absl::string_view name) {
  return MeanOf(trials, name, "").value_or(0);
}

}  // namespace

absl::StatusOr<std::vector<Measured>> MeasureGroups(const Gate& gate, const std::vector<std::string>& domains,
                                                    bool canonical_order) {
  std::vector<Measured> groups;
  std::map<std::tuple<std::string, std::string>, size_t> index;
  std::vector<std::string> scheme_order = {""};
  for (const ReportTrial* trial : gate.admitted) {
    const std::string scheme = SchemeId(trial->spec);
    const auto [it, is_new] = index.emplace(std::make_tuple(scheme, RecipeId(trial->spec)), groups.size());
    if (is_new) {
      Measured m;
      m.scheme_id = scheme;
      m.group.model = trial->spec.model().name();
      m.group.full_precision = !trial->spec.has_scheme();
      m.group.scheme = m.group.full_precision ? "full precision" : trial->spec.scheme().name();
      m.group.recipe = m.group.method = RecipeLabel(trial->spec);
      m.group.scheme_rest = SchemeRest(trial->spec);
      m.group.calibration = CalibrationText(trial->spec);
      if (UsesCalibration(trial->spec)) {
        for (const CorpusRef& d : trial->spec.calibration().domain()) {
          m.group.calibration_domains.push_back(d.name().empty() ? d.path() : d.name());
        }
      }
      const std::string budget = CalibrationBudget(trial->spec);
      if (!budget.empty() && budget != gate.calibration) {
        m.group.mark = absl::StrCat("calibrated on ", budget);
        // Told apart in tables and figures: "GPTQ [code]", or "GPTQ [32 x 256]" where only the amount differs.
        const CalibrationData& data = trial->spec.calibration();
        const std::string names = DomainNames(data.domain());
        absl::StrAppend(
            &m.group.recipe, " [",
            absl::EndsWith(gate.calibration, ": " + names) ? absl::StrCat(data.windows(), " x ", data.window()) : names,
            "]");
      }
      groups.push_back(std::move(m));
      if (std::find(scheme_order.begin(), scheme_order.end(), scheme) == scheme_order.end()) {
        scheme_order.push_back(scheme);
      }
    }
    std::vector<const ReportTrial*>& trials = groups[it->second].trial;
    // The same trial handed in twice counts once.
    if (std::none_of(trials.begin(), trials.end(), [&](const ReportTrial* t) { return t->key == trial->key; })) {
      trials.push_back(trial);
    }
  }

  for (Measured& m : groups) {
    std::stable_sort(m.trial.begin(), m.trial.end(), [](const ReportTrial* a, const ReportTrial* b) {
      return std::make_pair(SeedOf(a->spec), a->key) < std::make_pair(SeedOf(b->spec), b->key);
    });
    for (const ReportTrial* trial : m.trial) {
      m.group.keys.push_back(trial->key);
      if (UsesCalibration(trial->spec)) m.group.seeds.push_back(SeedOf(trial->spec));
      m.group.wall_seconds += trial->result.wall_seconds() / static_cast<double>(m.trial.size());
      m.group.peak_memory_bytes +=
          static_cast<double>(trial->result.peak_memory_bytes()) / static_cast<double>(m.trial.size());
    }
    m.group.scope = ScopeOf(*m.trial[0]);
    m.group.bits_per_weight = ScalarMean(m.trial, "bits_per_weight");
    m.group.model_bits_per_weight = ScalarMean(m.trial, "model_bits_per_weight");
    m.group.stored_bytes = ScalarMean(m.trial, "stored_bytes");
    m.group.linear_operations = ScalarMean(m.trial, "linear_operations");
    m.group.online_operations = ScalarMean(m.trial, "online_operations");
    m.group.repetitive_calibration = ScalarMean(m.trial, "calibration_repetitive");
    EAQ_RETURN_IF_ERROR(AddCells(domains, m));
    AddPooledCell(m);
    AddRouter(m);
    AddLinears(m);
    const TrialResult& first = m.trial[0]->result;
    m.group.expert_tables.assign(first.expert_table().begin(), first.expert_table().end());
    for (const Metric& metric : first.metric()) {
      if (IsAnalysisMetric(metric.name())) m.group.analysis.push_back(metric);
    }
    for (const TrialResult::ExpertUse& use : m.trial[0]->result.expert_use()) {
      m.group.expert_use.push_back({use.domain(), use.layer(), {use.share().begin(), use.share().end()}});
    }
  }

  const auto scheme_rank = [&](const Measured& m) {
    const auto at = std::find(scheme_order.begin(), scheme_order.end(), m.scheme_id);
    if (m.scheme_id.empty() || !canonical_order) return std::make_tuple(0, 0, std::string(), at - scheme_order.begin());
    const Scheme& s = m.trial[0]->spec.scheme();
    return std::make_tuple(-s.weights().bits(), -s.activations().bits(), s.name() + m.scheme_id, std::ptrdiff_t{0});
  };
  std::stable_sort(groups.begin(), groups.end(), [&](const Measured& a, const Measured& b) {
    if (a.scheme_id.empty() != b.scheme_id.empty()) return a.scheme_id.empty();
    const auto x = scheme_rank(a), y = scheme_rank(b);
    if (x != y) return x < y;
    if (a.group.mark.empty() != b.group.mark.empty()) return a.group.mark.empty();
    return canonical_order && a.group.recipe + a.group.mark < b.group.recipe + b.group.mark;
  });
  // Two different schemes or recipes under one label would be unreadable: number the later ones.
  std::map<std::string, std::vector<std::string>> labels;
  for (Measured& m : groups) {
    std::vector<std::string>& ids = labels[m.group.scheme];
    auto at = std::find(ids.begin(), ids.end(), m.scheme_id);
    if (at == ids.end()) at = ids.insert(ids.end(), m.scheme_id);
    if (at != ids.begin()) absl::StrAppend(&m.group.scheme, " #", at - ids.begin() + 1);
  }
  std::map<std::string, int> rows;
  for (Measured& m : groups) {
    const int n = ++rows[absl::StrCat(m.group.scheme, "\n", m.group.recipe, "\n", m.group.mark)];
    if (n > 1) absl::StrAppend(&m.group.recipe, " #", n);
  }
  return groups;
}

}  // namespace eaq::report_internal

#include "eaq/ledger/export.h"

#include <google/protobuf/text_format.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

// RFC 4180: quoted where needed, quotes doubled.
std::string Cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string Kind(const Metric& metric) {
  if (!metric.has_value()) return "missing";
  if (std::isnan(metric.value())) return "nan";
  if (std::isinf(metric.value())) return metric.value() > 0 ? "+inf" : "-inf";
  return "finite";
}

Json MetricJson(const Metric& metric) {
  Json json = {{"name", metric.name()}};
  if (metric.has_domain()) json["domain"] = metric.domain();
  if (metric.has_layer()) json["layer"] = metric.layer();
  json["kind"] = Kind(metric);
  json["value"] = Kind(metric) == "finite" ? Json(metric.value()) : Json(nullptr);
  return json;
}

Json ProvenanceJson(const Provenance& p) {
  return {{"commit", p.commit},  {"dirty", p.dirty},       {"binary_hash", p.binary_hash},
          {"host", p.host},      {"cpu", p.cpu},           {"cores", p.cores},
          {"kernel", p.kernel},  {"compiler", p.compiler}, {"model_hash", p.model_hash},
          {"corpora", p.corpora}};
}

}  // namespace

absl::StatusOr<std::string> ExportCsv(Ledger& ledger, const TrialFilter& filter) {
  std::string csv = "trial,model,recipe,scheme,seed,metric,domain,layer,kind,value\n";
  EAQ_ASSIGN_OR_RETURN(const std::vector<TrialRow> rows, ledger.ListTrials(filter));
  for (const TrialRow& row : rows) {
    EAQ_ASSIGN_OR_RETURN(const StoredTrial trial, ledger.LoadTrial(row.key));
    if (!trial.result.has_value()) continue;
    for (const Metric& metric : trial.result->metric()) {
      const std::string kind = Kind(metric);
      absl::StrAppend(&csv, row.key, ",", Cell(row.model), ",", Cell(row.recipe), ",", Cell(row.scheme), ",", row.seed,
                      ",", Cell(metric.name()), ",", Cell(metric.domain()), ",",
                      metric.has_layer() ? absl::StrCat(metric.layer()) : "", ",", kind, ",",
                      kind == "finite" ? absl::StrFormat("%.17g", metric.value()) : "", "\n");
    }
  }
  return csv;
}

absl::StatusOr<std::string> ExportJson(Ledger& ledger, const TrialFilter& filter) {
  Json trials = Json::array();
  EAQ_ASSIGN_OR_RETURN(const std::vector<TrialRow> rows, ledger.ListTrials(filter));
  for (const TrialRow& row : rows) {
    EAQ_ASSIGN_OR_RETURN(const StoredTrial trial, ledger.LoadTrial(row.key));
    std::string spec;
    google::protobuf::TextFormat::PrintToString(trial.spec, &spec);
    Json json = {{"trial", row.key},
                 {"model", row.model},
                 {"recipe", row.recipe},
                 {"scheme", row.scheme},
                 {"seed", row.seed},
                 {"status", row.status},
                 {"attempts", row.attempts},
                 {"message", row.message},
                 {"digest", trial.digest},
                 {"wall_seconds", row.wall_seconds},
                 {"spec", spec}};
    json["metrics"] = Json::array();
    if (trial.result.has_value()) {
      for (const Metric& metric : trial.result->metric()) json["metrics"].push_back(MetricJson(metric));
    }
    json["provenance"] = ProvenanceJson(trial.provenance);
    trials.push_back(std::move(json));
  }
  return trials.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace eaq

// ls, show, diff, export: looking.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/field_comparator.h>
#include <google/protobuf/util/message_differencer.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "eaq/base/json.h"
#include "eaq/ledger/export.h"
#include "eaq/ledger/trial_key.h"
#include "experiments/ledger_verbs.h"
#include "experiments/plan_text.h"

namespace eaq {
namespace {

std::string Dumped(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::string OrDash(const std::string& text) { return text.empty() ? "-" : Printable(text); }

std::string TextOf(const TrialSpec& spec) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(spec, &text);
  return text;
}

Json AttemptJson(const Attempt& a) {
  return {{"outcome", std::string(OutcomeName(a.outcome))},
          {"started", UtcTime(a.started_ns)},
          {"seconds", a.duration_ns * 1e-9},
          {"exit_code", a.exit_code},
          {"message", a.message},
          {"command", a.command},
          {"log", a.log},
          {"host", a.host},
          {"peak_memory_bytes", a.peak_memory_bytes},
          {"threads", a.threads}};
}

std::string ShowJson(const StoredTrial& trial) {
  Json json = {{"trial", trial.key}, {"spec", TextOf(trial.spec)}, {"digest", trial.digest}};
  json["metrics"] = Json::array();
  json["linears"] = Json::array();
  json["stages"] = Json::array();
  if (trial.result.has_value()) {
    for (const Metric& m : trial.result->metric()) {
      Json metric = {{"name", m.name()}};
      if (m.has_domain()) metric["domain"] = m.domain();
      if (m.has_layer()) metric["layer"] = m.layer();
      const bool finite = m.has_value() && m.value() - m.value() == 0;
      metric["value"] = finite ? Json(m.value()) : Json(nullptr);
      json["metrics"].push_back(metric);
    }
    json["left_at_16_bits"] = LeftAt16Bits(trial.spec, *trial.result);
    for (const LinearReport& l : trial.result->linear()) {
      Json linear = {{"linear", l.id()}, {"bits", l.bits()}, {"stored_bits", l.stored_bits()}};
      if (l.has_activation()) linear["activation"] = l.activation();
      if (l.has_online()) linear["online"] = l.online();
      if (l.has_note()) linear["note"] = l.note();
      json["linears"].push_back(linear);
    }
    for (const StageRun& s : trial.result->stage()) {
      json["stages"].push_back(
          {{"stage", s.stage()}, {"hash", s.hash()}, {"seconds", s.seconds()}, {"from_cache", s.from_cache()}});
    }
  }
  json["attempts"] = Json::array();
  for (const Attempt& attempt : trial.attempts) json["attempts"].push_back(AttemptJson(attempt));
  const Provenance& p = trial.provenance;
  json["provenance"] = {{"commit", p.commit},  {"dirty", p.dirty},       {"binary_hash", p.binary_hash},
                        {"host", p.host},      {"cpu", p.cpu},           {"cores", p.cores},
                        {"kernel", p.kernel},  {"compiler", p.compiler}, {"model_hash", p.model_hash},
                        {"corpora", p.corpora}};
  return Dumped(json);
}

std::string ShowText(const StoredTrial& trial) {
  std::string text = absl::StrCat("trial ", trial.key, "\n");
  absl::StrAppend(&text, "result ", trial.digest.empty() ? "none yet" : trial.digest, "\n\nSpec\n");
  for (absl::string_view line : absl::StrSplit(TextOf(trial.spec), '\n', absl::SkipEmpty())) {
    absl::StrAppend(&text, "  ", line, "\n");
  }
  if (trial.result.has_value()) {
    std::vector<std::vector<std::string>> metrics, stages;
    for (const Metric& m : trial.result->metric()) metrics.push_back({"", MetricName(m), Number(m)});
    for (const StageRun& s : trial.result->stage()) {
      stages.push_back({"", Printable(s.stage()), s.hash().substr(0, 12), absl::StrFormat("%.2f s", s.seconds()),
                        s.from_cache() ? "from cache" : ""});
    }
    std::vector<std::vector<std::string>> plan = PlanTable(*trial.result);
    for (auto& row : plan) row.insert(row.begin(), "");
    absl::StrAppend(&text, "\nPlan\n", Table(plan, {false, false, true, false, false, false, false}),
                    "  left at 16 bits: ", LeftAt16Bits(trial.spec, *trial.result), "\n");
    for (const std::string& note : RouterNotes(*trial.result)) absl::StrAppend(&text, "  ", Printable(note), "\n");
    absl::StrAppend(&text, "\nMetrics\n", Table(metrics, {false, false, true}), "\nStages\n",
                    Table(stages, {false, false, false, true, false}));
    absl::StrAppend(&text, absl::StrFormat("\n%d linears, %d series of per-window values, %d expert-use rows\n",
                                           trial.result->linear_size(), trial.result->series_size(),
                                           trial.result->expert_use_size()));
  }
  absl::StrAppend(&text, "\nAttempts\n");
  for (const Attempt& a : trial.attempts) {
    absl::StrAppend(&text, "  ", UtcTime(a.started_ns), " UTC  ", OutcomeName(a.outcome),
                    absl::StrFormat("  %.1f s", a.duration_ns * 1e-9), "  on ", Printable(a.host));
    if (a.peak_memory_bytes > 0) absl::StrAppend(&text, "  ", a.peak_memory_bytes >> 20, " MiB");
    absl::StrAppend(&text, "\n");
    if (!a.message.empty()) absl::StrAppend(&text, "    ", Printable(a.message), "\n");
    if (!a.command.empty()) absl::StrAppend(&text, "    again: ", Printable(a.command), "\n");
    if (!a.log.empty()) absl::StrAppend(&text, "    log: ", Printable(a.log), "\n");
  }
  const Provenance& p = trial.provenance;
  absl::StrAppend(&text, "\nProvenance\n  commit ", p.commit, " (", p.dirty, "), binary ", p.binary_hash.substr(0, 12),
                  ", ", p.compiler, "\n  ", Printable(p.host), ", ", p.cpu, ", ", p.cores, " cores, ", p.kernel, "\n");
  for (const auto& [name, version] : p.corpora) {
    absl::StrAppend(&text, "  corpus ", Printable(name), ": ", Printable(version), "\n");
  }
  return text;
}

std::vector<std::string> SpecDifferences(const TrialSpec& a, const TrialSpec& b) {
  std::string report;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&report);
  differencer.set_report_matches(false);
  differencer.set_report_moves(false);
  differencer.Compare(CanonicalSpec(a), CanonicalSpec(b));
  return absl::StrSplit(report, '\n', absl::SkipEmpty());
}

// Metrics by name in the order of A, then those only B has.
struct Pair {
  const Metric* a = nullptr;
  const Metric* b = nullptr;
};
std::vector<std::pair<std::string, Pair>> PairMetrics(const StoredTrial& a, const StoredTrial& b) {
  std::vector<std::pair<std::string, Pair>> pairs;
  std::map<std::string, size_t> index;
  const auto add = [&](const StoredTrial& trial, const Metric* Pair::*side) {
    if (!trial.result.has_value()) return;
    for (const Metric& metric : trial.result->metric()) {
      const auto [at, is_new] = index.insert({MetricName(metric), pairs.size()});
      if (is_new) pairs.push_back({at->first, {}});
      pairs[at->second].second.*side = &metric;
    }
  };
  add(a, &Pair::a);
  add(b, &Pair::b);
  return pairs;
}

}  // namespace

int LedgerLs(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kReadOnly);
  if (!ledger.ok()) return Complain(ledger.status());
  const auto rows = (*ledger)->ListTrials(args.filter);
  if (!rows.ok()) return Complain(rows.status());
  if (args.json) {
    Json list = Json::array();
    for (const TrialRow& r : *rows) {
      list.push_back({{"trial", r.key},
                      {"model", r.model},
                      {"recipe", r.recipe},
                      {"scheme", r.scheme},
                      {"seed", r.seed},
                      {"status", r.status},
                      {"attempts", r.attempts},
                      {"seconds", r.wall_seconds},
                      {"finished", UtcTime(r.last_ns)},
                      {"message", r.message},
                      {"command", r.command},
                      {"log", r.log}});
    }
    return Emit(args, Dumped(list));
  }
  std::vector<std::vector<std::string>> table = {
      {"trial", "model", "recipe", "scheme", "seed", "status", "seconds", "finished (UTC)", ""}};
  int64_t ok = 0;
  for (const TrialRow& r : *rows) {
    ok += r.status == "ok";
    table.push_back({ShortKey(r.key), OrDash(r.model), OrDash(r.recipe), OrDash(r.scheme), absl::StrCat(r.seed),
                     r.status, absl::StrFormat("%.1f", r.wall_seconds), UtcTime(r.last_ns),
                     Printable(r.message.substr(0, 60))});
  }
  std::fprintf(stderr, "%s: %d trials, %d with a result\n", args.ledger.c_str(), static_cast<int>(rows->size()),
               static_cast<int>(ok));
  return Emit(args, rows->empty() ? "" : Table(table, {false, false, false, false, true, false, true, false, false}));
}

int LedgerShow(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kReadOnly);
  if (!ledger.ok()) return Complain(ledger.status());
  const auto trial = (*ledger)->LoadTrial(args.arguments[0]);
  if (!trial.ok()) return ComplainAboutName(trial.status());
  return Emit(args, args.json ? ShowJson(*trial) : ShowText(*trial));
}

int LedgerDiff(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kReadOnly);
  if (!ledger.ok()) return Complain(ledger.status());
  const auto a = (*ledger)->LoadTrial(args.arguments[0]);
  if (!a.ok()) return ComplainAboutName(a.status());
  const auto b = (*ledger)->LoadTrial(args.arguments[1]);
  if (!b.ok()) return ComplainAboutName(b.status());
  const std::vector<std::string> differences = SpecDifferences(a->spec, b->spec);
  const auto pairs = PairMetrics(*a, *b);
  if (args.json) {
    Json json = {{"a", a->key}, {"b", b->key}, {"same_result", !a->digest.empty() && a->digest == b->digest}};
    json["spec"] = differences;
    json["metrics"] = Json::array();
    for (const auto& [name, pair] : pairs) {
      const auto value = [](const Metric* m) {
        return m != nullptr && m->has_value() && m->value() - m->value() == 0 ? Json(m->value()) : Json(nullptr);
      };
      Json metric = {{"metric", name}, {"a", value(pair.a)}, {"b", value(pair.b)}, {"delta", nullptr}};
      if (metric["a"].is_number() && metric["b"].is_number()) metric["delta"] = pair.b->value() - pair.a->value();
      json["metrics"].push_back(metric);
    }
    return Emit(args, Dumped(json));
  }
  std::string text = absl::StrCat("A ", a->key, "\nB ", b->key, "\n\nSpec (A -> B)\n");
  for (const std::string& line : differences) absl::StrAppend(&text, "  ", Printable(line), "\n");
  if (differences.empty()) absl::StrAppend(&text, "  the same\n");
  std::vector<std::vector<std::string>> table = {{"", "metric", "A", "B", "B - A"}};
  for (const auto& [name, pair] : pairs) {
    const bool both = pair.a != nullptr && pair.b != nullptr && pair.a->has_value() && pair.b->has_value();
    table.push_back({"", name, pair.a ? Number(*pair.a) : "-", pair.b ? Number(*pair.b) : "-",
                     both ? absl::StrFormat("%+.6g", pair.b->value() - pair.a->value()) : "-"});
  }
  absl::StrAppend(&text, "\nMetrics", !a->digest.empty() && a->digest == b->digest ? " (every bit the same)" : "", "\n",
                  Table(table, {false, false, true, true, true}));
  return Emit(args, text);
}

int LedgerExport(const LedgerArgs& args) {
  auto ledger = Ledger::Open(args.ledger, Ledger::Mode::kReadOnly);
  if (!ledger.ok()) return Complain(ledger.status());
  const auto text = args.json ? ExportJson(**ledger, args.filter) : ExportCsv(**ledger, args.filter);
  return text.ok() ? Emit(args, *text) : Complain(text.status());
}

}  // namespace eaq

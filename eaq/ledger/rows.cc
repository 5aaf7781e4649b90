#include "eaq/ledger/rows.h"

#include <google/protobuf/text_format.h>

#include <cmath>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "eaq/base/hash.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/digest.h"
#include "eaq/ledger/trial_key.h"

namespace eaq::ledger_internal {
namespace {

std::string Dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

template <typename Repeated>
std::string PackRepeated(const Repeated& values) {
  return PackDoubles(values.data(), values.size());
}

absl::Status InsertMetrics(Database& db, int64_t id, const TrialResult& result) {
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT INTO metric VALUES (?, ?, ?, ?, ?, ?, ?)"));
  std::map<std::tuple<std::string, std::string, int64_t>, int64_t> seen;
  for (const Metric& metric : result.metric()) {
    const int64_t layer = metric.has_layer() ? metric.layer() : -1;
    const int64_t position = seen[{metric.name(), metric.domain(), layer}]++;
    const bool finite = metric.has_value() && std::isfinite(metric.value());
    const char* kind = metric.has_value() ? NumberKind(metric.value()) : "missing";
    EAQ_RETURN_IF_ERROR(finite ? insert.Run(id, metric.name(), metric.domain(), layer, position, metric.value(), kind)
                               : insert.Run(id, metric.name(), metric.domain(), layer, position, Null(), kind));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> InsertDocuments(Database& db, const Series& series) {
  const std::string names = JsonArray({series.document().begin(), series.document().end()});
  const std::string hash = Fingerprint("documents/v1").Add(names).Hex();
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT OR IGNORE INTO documents (hash, names) VALUES (?, ?)"));
  EAQ_RETURN_IF_ERROR(insert.Run(hash, names));
  EAQ_ASSIGN_OR_RETURN(Statement find, db.Prepare("SELECT id FROM documents WHERE hash = ?"));
  EAQ_ASSIGN_OR_RETURN(const bool found, find.Query(hash));
  if (!found) return absl::InternalError("the list of documents just stored is not there");
  return find.Int(0);
}

absl::Status InsertSeries(Database& db, int64_t id, const TrialResult& result) {
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?)"));
  for (int i = 0; i < result.series_size(); ++i) {
    const Series& series = result.series(i);
    EAQ_ASSIGN_OR_RETURN(const int64_t documents, InsertDocuments(db, series));
    EAQ_RETURN_IF_ERROR(insert.Run(id, i, series.metric(), series.domain(), series.value_size(),
                                   Blob{PackRepeated(series.value())}, documents));
  }
  return absl::OkStatus();
}

absl::Status InsertLinears(Database& db, int64_t id, const TrialResult& result) {
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT INTO linear VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  for (int i = 0; i < result.linear_size(); ++i) {
    const LinearReport& linear = result.linear(i);
    EAQ_RETURN_IF_ERROR(insert.Reset());
    EAQ_RETURN_IF_ERROR(insert.Bind(1, id));
    EAQ_RETURN_IF_ERROR(insert.Bind(2, i));
    EAQ_RETURN_IF_ERROR(insert.Bind(3, linear.id()));
    EAQ_RETURN_IF_ERROR(insert.Bind(4, linear.bits()));
    EAQ_RETURN_IF_ERROR(insert.Bind(5, int64_t{linear.calibration_tokens()}));
    const auto error = [&insert](int parameter, bool has, double value) {
      return has && std::isfinite(value) ? insert.Bind(parameter, value) : insert.Bind(parameter, Null());
    };
    EAQ_RETURN_IF_ERROR(error(6, linear.has_weight_error(), linear.weight_error()));
    EAQ_RETURN_IF_ERROR(error(7, linear.has_output_error(), linear.output_error()));
    EAQ_RETURN_IF_ERROR(insert.Bind(8, int64_t{linear.stored_bits()}));
    EAQ_RETURN_IF_ERROR(insert.Bind(9, linear.note()));
    EAQ_RETURN_IF_ERROR(insert.Step().status());
  }
  return absl::OkStatus();
}

absl::Status InsertExpertUse(Database& db, int64_t id, const TrialResult& result) {
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT INTO expert_use VALUES (?, ?, ?, ?, ?)"));
  for (int i = 0; i < result.expert_use_size(); ++i) {
    const TrialResult::ExpertUse& use = result.expert_use(i);
    EAQ_RETURN_IF_ERROR(insert.Run(id, i, use.domain(), use.layer(), Blob{PackRepeated(use.share())}));
  }
  return absl::OkStatus();
}

}  // namespace

std::string PackDoubles(const double* values, int64_t n) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored as little-endian");
  return n == 0 ? std::string() : std::string(reinterpret_cast<const char*>(values), 8 * n);
}

const char* NumberKind(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "+inf" : "-inf";
  return "finite";
}

std::string JsonArray(const std::vector<std::string>& texts) {
  Json array = Json::array();
  for (const std::string& text : texts) array.push_back(text);
  return Dumped(array);
}

std::string Clipped(const std::string& text) {
  constexpr size_t kKeep = 32 << 10;
  if (text.size() <= 2 * kKeep) return text;
  return absl::StrCat(text.substr(0, kKeep), "\n[... ", text.size() - 2 * kKeep, " bytes left out ...]\n",
                      text.substr(text.size() - kKeep));
}

bool IsKey(absl::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

int64_t NowNs() { return absl::GetCurrentTimeNanos(); }

absl::Status InsertTrial(Database& db, const std::string& key, const TrialSpec& spec, int64_t now_ns) {
  const TrialSpec canonical = CanonicalSpec(spec);
  std::string text;
  google::protobuf::TextFormat::PrintToString(canonical, &text);
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT OR IGNORE INTO trial VALUES (?, ?, ?, ?, ?)"));
  const std::string bytes = SerializeDeterministic(canonical);
  EAQ_RETURN_IF_ERROR(canonical.has_calibration()
                          ? insert.Run(key, Blob{bytes}, text, spec.numerics_version(),
                                       static_cast<int64_t>(canonical.calibration().seed()))
                          : insert.Run(key, Blob{bytes}, text, spec.numerics_version(), Null()));
  EAQ_ASSIGN_OR_RETURN(
      Statement label,
      db.Prepare(
          "INSERT INTO label SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM label WHERE trial "
          "= ?1 AND model = ?2 AND recipe = ?3 AND title = ?4 AND scheme = ?5 AND spec = ?7)"));
  const std::string& name = spec.recipe().name();
  return label.Run(key, spec.model().name(), name, spec.recipe().has_title() ? spec.recipe().title() : name,
                   spec.scheme().name(), now_ns, Blob{SerializeDeterministic(spec)});
}

absl::StatusOr<int64_t> InsertProvenance(Database& db, const Provenance& p) {
  Json corpora = Json::object();
  for (const auto& [name, version] : p.corpora) corpora[name] = version;
  const std::string corpora_text = Dumped(corpora);
  const std::string dirty = p.dirty == "clean" || p.dirty == "dirty" ? p.dirty : "unknown";
  const std::string hash = Fingerprint("provenance/v1")
                               .Add(p.commit)
                               .Add(dirty)
                               .Add(p.binary_hash)
                               .Add(p.host)
                               .Add(p.boot_id)
                               .Add(p.cpu)
                               .Add(p.cores)
                               .Add(p.kernel)
                               .Add(p.compiler)
                               .Add(p.model_hash)
                               .Add(corpora_text)
                               .Hex();
  EAQ_ASSIGN_OR_RETURN(
      Statement insert,
      db.Prepare("INSERT OR IGNORE INTO provenance (hash, git_commit, dirty, binary_hash, host, boot_id, cpu, cores, "
                 "kernel, compiler, model_hash, corpora) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  EAQ_RETURN_IF_ERROR(insert.Run(hash, p.commit, dirty, p.binary_hash, p.host, p.boot_id, p.cpu, p.cores, p.kernel,
                                 p.compiler, p.model_hash, corpora_text));
  EAQ_ASSIGN_OR_RETURN(Statement find, db.Prepare("SELECT id FROM provenance WHERE hash = ?"));
  EAQ_ASSIGN_OR_RETURN(const bool found, find.Query(hash));
  if (!found) return absl::InternalError("the provenance just stored is not there");
  return find.Int(0);
}

absl::StatusOr<std::pair<int64_t, bool>> InsertResult(Database& db, const std::string& key, const TrialResult& result,
                                                      const std::string& digest) {
  EAQ_ASSIGN_OR_RETURN(Statement find, db.Prepare("SELECT id FROM result WHERE trial = ? AND digest = ?"));
  EAQ_ASSIGN_OR_RETURN(const bool found, find.Query(key, digest));
  if (found) return std::make_pair(find.Int(0), false);
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT INTO result (trial, digest, content) VALUES (?, ?, ?)"));
  EAQ_RETURN_IF_ERROR(insert.Run(key, digest, Blob{SerializeDeterministic(WithoutTimings(result))}));
  const int64_t id = db.LastRowId();
  EAQ_RETURN_IF_ERROR(InsertMetrics(db, id, result));
  EAQ_RETURN_IF_ERROR(InsertSeries(db, id, result));
  EAQ_RETURN_IF_ERROR(InsertLinears(db, id, result));
  EAQ_RETURN_IF_ERROR(InsertExpertUse(db, id, result));
  return std::make_pair(id, true);
}

absl::Status InsertAttempt(Database& db, Attempt a, const TrialResult* result, int64_t result_id, int64_t provenance) {
  a.message = Clipped(a.message);
  a.command = Clipped(a.command);
  a.log = Clipped(a.log);
  const std::string outcome(OutcomeName(a.outcome));
  const int64_t duration = a.duration_ns < 0 ? 0 : a.duration_ns;
  a.id = Fingerprint("attempt/v1")
             .Add(a.trial)
             .Add(a.sweep)
             .Add(a.started_ns)
             .Add(a.finished_ns)
             .Add(duration)
             .Add(outcome)
             .Add(a.exit_code)
             .Add(a.message)
             .Add(a.command)
             .Add(a.log)
             .Add(a.host)
             .Add(a.pid)
             .Add(a.digest)
             .Hex();
  EAQ_ASSIGN_OR_RETURN(Statement insert, db.Prepare("INSERT OR IGNORE INTO attempt VALUES "
                                                    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  const auto rest = [&](auto result_or_null, auto wall, auto memory, auto threads) {
    return insert.Run(a.id, a.trial, a.sweep, a.started_ns, a.finished_ns, duration, outcome, a.exit_code, a.message,
                      a.command, a.log, a.host, a.pid, provenance, result_or_null, wall, memory, threads);
  };
  if (result == nullptr) return rest(Null(), Null(), Null(), Null());
  const double wall = std::isfinite(result->wall_seconds()) ? result->wall_seconds() : 0.0;
  EAQ_RETURN_IF_ERROR(rest(result_id, wall, static_cast<int64_t>(result->peak_memory_bytes()), result->threads()));
  if (db.Changes() == 0) return absl::OkStatus();  // this very attempt was recorded before
  EAQ_ASSIGN_OR_RETURN(Statement stage, db.Prepare("INSERT INTO stage_run VALUES (?, ?, ?, ?, ?, ?)"));
  for (int i = 0; i < result->stage_size(); ++i) {
    const StageRun& run = result->stage(i);
    const double seconds = std::isfinite(run.seconds()) ? run.seconds() : 0.0;
    EAQ_RETURN_IF_ERROR(stage.Run(a.id, i, run.stage(), run.hash(), seconds, run.from_cache() ? 1 : 0));
  }
  return absl::OkStatus();
}

}  // namespace eaq::ledger_internal

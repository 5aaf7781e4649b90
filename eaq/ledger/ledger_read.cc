#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/rows.h"

namespace eaq {
namespace {

constexpr absl::string_view kTrialRows =
    "SELECT t.key, l.model, l.recipe, l.scheme, coalesce(t.seed, 0), s.status, "
    "  (SELECT count(*) FROM attempt a WHERE a.trial = t.key), "
    "  (SELECT max(finished_ns) FROM attempt a WHERE a.trial = t.key), "
    "  coalesce(e.wall_seconds, e.duration_ns * 1e-9), e.message, e.command, e.log "
    "FROM trial t JOIN current_label l ON l.trial = t.key JOIN current_status s ON s.trial = t.key "
    "JOIN attempt e ON e.id = s.attempt "
    "WHERE t.key >= ?1 AND t.key < ?1 || 'g' AND (?2 = '' OR l.model = ?2) AND (?3 = '' OR l.recipe = ?3) "
    "  AND (?4 = '' OR l.scheme = ?4) AND (?5 = '' OR s.status = ?5) "
    "  AND (?6 = '' OR t.key IN (SELECT trial FROM sweep_trial WHERE sweep = ?6)) "
    "ORDER BY l.first_ns, t.key";

absl::StatusOr<std::vector<Attempt>> ReadAttempts(Database& db, const std::string& key) {
  EAQ_ASSIGN_OR_RETURN(
      Statement row,
      db.Prepare("SELECT a.id, a.sweep, a.started_ns, a.finished_ns, a.duration_ns, a.outcome, a.exit_code, a.message, "
                 "a.command, a.log, a.host, a.pid, coalesce(a.provenance, ''), coalesce(r.digest, ''), "
                 "coalesce(a.wall_seconds, 0.0), coalesce(a.peak_memory_bytes, 0), coalesce(a.threads, 0) "
                 "FROM attempt a LEFT JOIN result r ON r.id = a.result WHERE a.trial = ? ORDER BY a.started_ns, a.id"));
  std::vector<Attempt> attempts;
  EAQ_ASSIGN_OR_RETURN(bool more, row.Query(key));
  while (more) {
    Attempt a;
    a.id = row.Text(0);
    a.trial = key;
    a.sweep = row.Text(1);
    a.started_ns = row.Int(2);
    a.finished_ns = row.Int(3);
    a.duration_ns = row.Int(4);
    EAQ_ASSIGN_OR_RETURN(a.outcome, ParseOutcome(row.Text(5)));
    a.exit_code = static_cast<int>(row.Int(6));
    a.message = row.Text(7);
    a.command = row.Text(8);
    a.log = row.Text(9);
    a.host = row.Text(10);
    a.pid = row.Int(11);
    a.provenance = row.Text(12);
    a.digest = row.Text(13);
    a.wall_seconds = row.Double(14);
    a.peak_memory_bytes = row.Int(15);
    a.threads = static_cast<int>(row.Int(16));
    attempts.push_back(std::move(a));
    EAQ_ASSIGN_OR_RETURN(more, row.Step());
  }
  return attempts;
}

absl::StatusOr<Provenance> ReadProvenance(Database& db, const std::string& id) {
  EAQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("SELECT git_commit, dirty, binary_hash, host, boot_id, cpu, cores, "
                                                 "kernel, compiler, model_hash, corpora FROM provenance WHERE id = ?"));
  Provenance p;
  EAQ_ASSIGN_OR_RETURN(const bool found, row.Query(id));
  if (!found) return p;
  p.commit = row.Text(0);
  p.dirty = row.Text(1);
  p.binary_hash = row.Text(2);
  p.host = row.Text(3);
  p.boot_id = row.Text(4);
  p.cpu = row.Text(5);
  p.cores = static_cast<int>(row.Int(6));
  p.kernel = row.Text(7);
  p.compiler = row.Text(8);
  p.model_hash = row.Text(9);
  EAQ_ASSIGN_OR_RETURN(const Json corpora, ParseJson(row.Text(10)));
  for (const auto& [name, version] : corpora.items()) {
    if (version.is_string()) p.corpora[name] = version.get<std::string>();
  }
  return p;
}

// The timings of the attempt go back where they came from.
absl::Status RestoreTimings(Database& db, const Attempt& attempt, TrialResult& result) {
  result.set_wall_seconds(attempt.wall_seconds);
  result.set_peak_memory_bytes(attempt.peak_memory_bytes);
  result.set_threads(attempt.threads);
  EAQ_ASSIGN_OR_RETURN(Statement row,
                       db.Prepare("SELECT position, seconds, from_cache FROM stage_run WHERE attempt = ? ORDER BY 1"));
  EAQ_ASSIGN_OR_RETURN(bool more, row.Query(attempt.id));
  while (more) {
    const int64_t position = row.Int(0);
    if (position >= 0 && position < result.stage_size()) {
      result.mutable_stage(static_cast<int>(position))->set_seconds(row.Double(1));
      result.mutable_stage(static_cast<int>(position))->set_from_cache(row.Int(2) != 0);
    }
    EAQ_ASSIGN_OR_RETURN(more, row.Step());
  }
  return absl::OkStatus();
}

absl::Status ReadResult(Database& db, StoredTrial& trial) {
  EAQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("SELECT r.digest, r.content, c.attempt FROM current_result c "
                                                 "JOIN result r ON r.id = c.result WHERE c.trial = ?"));
  EAQ_ASSIGN_OR_RETURN(const bool found, row.Query(trial.key));
  if (!found) return absl::OkStatus();
  trial.digest = row.Text(0);
  const std::string attempt = row.Text(2);
  trial.result.emplace();
  if (!trial.result->ParseFromString(row.Text(1))) {
    return absl::DataLossError(
        absl::StrCat(db.path(), ": the result of trial ", trial.key, " is no TrialResult (hint: run `ledger doctor`)"));
  }
  for (const Attempt& a : trial.attempts) {
    if (a.id != attempt) continue;
    EAQ_RETURN_IF_ERROR(RestoreTimings(db, a, *trial.result));
    EAQ_ASSIGN_OR_RETURN(trial.provenance, ReadProvenance(db, a.provenance));
  }
  return absl::OkStatus();
}

// NotFound when there is no such trial.
absl::StatusOr<StoredTrial> LoadExactly(Database& db, const std::string& key) {
  StoredTrial trial;
  trial.key = key;
  EAQ_ASSIGN_OR_RETURN(Statement label, db.Prepare("SELECT spec FROM current_label WHERE trial = ?"));
  EAQ_ASSIGN_OR_RETURN(const bool found, label.Query(key));
  if (!found) return absl::NotFoundError(absl::StrCat(db.path(), ": no trial ", key));
  if (!trial.spec.ParseFromString(label.Text(0))) {
    return absl::DataLossError(absl::StrCat(db.path(), ": the spec of trial ", key, " is no TrialSpec"));
  }
  EAQ_ASSIGN_OR_RETURN(trial.attempts, ReadAttempts(db, key));
  EAQ_RETURN_IF_ERROR(ReadResult(db, trial));
  if (!trial.result.has_value() && !trial.attempts.empty()) {
    EAQ_ASSIGN_OR_RETURN(trial.provenance, ReadProvenance(db, trial.attempts.back().provenance));
  }
  return trial;
}

}  // namespace

absl::StatusOr<std::set<std::string>> Ledger::Done(absl::Span<const std::string> keys) {
  std::set<std::string> done;
  EAQ_ASSIGN_OR_RETURN(Statement find, db_->Prepare("SELECT 1 FROM result WHERE trial = ?"));
  for (const std::string& key : keys) {
    EAQ_ASSIGN_OR_RETURN(const bool found, find.Query(key));
    if (found) done.insert(key);
  }
  return done;
}

absl::StatusOr<std::vector<TrialRow>> Ledger::ListTrials(const TrialFilter& filter) {
  EAQ_ASSIGN_OR_RETURN(Statement row, db_->Prepare(kTrialRows));
  std::vector<TrialRow> rows;
  EAQ_ASSIGN_OR_RETURN(
      bool more, row.Query(filter.key_prefix, filter.model, filter.recipe, filter.scheme, filter.status, filter.sweep));
  while (more) {
    TrialRow t;
    t.key = row.Text(0);
    t.model = row.Text(1);
    t.recipe = row.Text(2);
    t.scheme = row.Text(3);
    t.seed = row.Int(4);
    t.status = row.Text(5);
    t.attempts = row.Int(6);
    t.last_ns = row.Int(7);
    t.wall_seconds = row.Double(8);
    t.message = row.Text(9);
    t.command = row.Text(10);
    t.log = row.Text(11);
    rows.push_back(std::move(t));
    EAQ_ASSIGN_OR_RETURN(more, row.Step());
  }
  return rows;
}

absl::StatusOr<std::vector<TrialRow>> Ledger::Failures() {
  EAQ_ASSIGN_OR_RETURN(std::vector<TrialRow> rows, ListTrials());
  rows.erase(std::remove_if(rows.begin(), rows.end(), [](const TrialRow& row) { return row.status == "ok"; }),
             rows.end());
  return rows;
}

absl::StatusOr<StoredTrial> Ledger::LoadTrial(absl::string_view prefix) {
  if (prefix.size() < 4 || prefix.find_first_not_of("0123456789abcdef") != absl::string_view::npos) {
    return absl::NotFoundError(absl::StrCat(
        "\"", prefix, "\" is no trial, expected at least 4 hexadecimal digits of a key (hint: `ledger ls`)"));
  }
  EAQ_ASSIGN_OR_RETURN(Statement find, db_->Prepare("SELECT key FROM trial WHERE key >= ?1 AND key < ?1 || 'g' ORDER "
                                                    "BY key LIMIT 5"));
  std::vector<std::string> keys;
  EAQ_ASSIGN_OR_RETURN(bool more, find.Query(prefix));
  while (more) {
    keys.push_back(find.Text(0));
    EAQ_ASSIGN_OR_RETURN(more, find.Step());
  }
  if (keys.empty()) {
    return absl::NotFoundError(absl::StrCat(path(), ": no trial starts with ", prefix, " (hint: `ledger ls`)"));
  }
  if (keys.size() > 1) {
    return absl::OutOfRangeError(absl::StrCat(path(), ": several trials start with ", prefix, ": ",
                                              absl::StrJoin(keys, ", "), " (hint: more digits)"));
  }
  return LoadExactly(*db_, keys[0]);
}

absl::StatusOr<std::vector<StoredTrial>> Ledger::LoadTrials(absl::Span<const std::string> keys) {
  std::vector<StoredTrial> trials;
  for (const std::string& key : keys) {
    absl::StatusOr<StoredTrial> trial = LoadExactly(*db_, key);
    if (absl::IsNotFound(trial.status())) continue;
    if (!trial.ok()) return trial.status();
    trials.push_back(*std::move(trial));
  }
  return trials;
}

absl::StatusOr<std::vector<Timing>> Ledger::Timings() {
  EAQ_ASSIGN_OR_RETURN(Statement row,
                       db_->Prepare("SELECT l.model, l.recipe, l.scheme, a.wall_seconds, "
                                    "(SELECT count(*) FROM stage_run s WHERE s.attempt = a.id), "
                                    "(SELECT coalesce(sum(from_cache), 0) FROM stage_run s WHERE s.attempt = a.id), "
                                    "a.peak_memory_bytes FROM attempt a JOIN current_label l ON l.trial = a.trial "
                                    "WHERE a.outcome = 'ok' ORDER BY a.finished_ns DESC, a.id"));
  std::vector<Timing> timings;
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return timings;
    timings.push_back({row.Text(0), row.Text(1), row.Text(2), row.Double(3), row.Int(4), row.Int(5), row.Int(6)});
  }
}

absl::StatusOr<std::vector<SweepRow>> Ledger::Sweeps() {
  EAQ_ASSIGN_OR_RETURN(Statement row,
                       db_->Prepare("SELECT id, started_ns, name, spec_text, command FROM sweep ORDER BY "
                                    "started_ns DESC, id"));
  EAQ_ASSIGN_OR_RETURN(Statement member,
                       db_->Prepare("SELECT trial FROM sweep_trial WHERE sweep = ? ORDER BY position"));
  std::vector<SweepRow> sweeps;
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return sweeps;
    SweepRow sweep{row.Text(0), row.Int(1), row.Text(2), row.Text(3), row.Text(4), {}};
    EAQ_ASSIGN_OR_RETURN(bool trial, member.Query(sweep.id));
    while (trial) {
      sweep.trials.push_back(member.Text(0));
      EAQ_ASSIGN_OR_RETURN(trial, member.Step());
    }
    sweeps.push_back(std::move(sweep));
  }
}

absl::StatusOr<std::vector<std::pair<std::string, std::vector<std::string>>>> Ledger::Conflicts() {
  EAQ_ASSIGN_OR_RETURN(Statement row, db_->Prepare("SELECT trial, digest FROM conflict ORDER BY trial, digest"));
  std::vector<std::pair<std::string, std::vector<std::string>>> conflicts;
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return conflicts;
    if (conflicts.empty() || conflicts.back().first != row.Text(0)) conflicts.push_back({row.Text(0), {}});
    conflicts.back().second.push_back(row.Text(1));
  }
}

}  // namespace eaq

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/digest.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/trial_key.h"

namespace eaq {
namespace {

using Findings = std::vector<Ledger::Finding>;

absl::Status CheckFile(Database& db, Findings& findings) {
  EAQ_ASSIGN_OR_RETURN(Statement integrity, db.Prepare("PRAGMA integrity_check(20)"));
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, integrity.Step());
    if (!more) break;
    if (integrity.Text(0) != "ok") findings.push_back({"integrity", integrity.Text(0)});
  }
  EAQ_ASSIGN_OR_RETURN(Statement dangling, db.Prepare("PRAGMA foreign_key_check"));
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, dangling.Step());
    if (!more) return absl::OkStatus();
    findings.push_back(
        {"foreign_key", absl::StrCat("a row of ", dangling.Text(0), " refers to a missing row of ", dangling.Text(2))});
  }
}

absl::Status CheckKeys(Database& db, Findings& findings) {
  for (const char* sql : {"SELECT key, spec FROM trial ORDER BY key", "SELECT trial, spec FROM label ORDER BY trial"}) {
    EAQ_ASSIGN_OR_RETURN(Statement row, db.Prepare(sql));
    while (true) {
      EAQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      TrialSpec spec;
      if (!spec.ParseFromString(row.Text(1)) || TrialKey(spec) != row.Text(0)) {
        findings.push_back({"key", absl::StrCat("trial ", row.Text(0), ": its spec does not hash to its key")});
      }
    }
  }
  return absl::OkStatus();
}

// The result's content against its digest, and the exploded metrics against the content.
absl::Status CheckResults(Database& db, Findings& findings) {
  EAQ_ASSIGN_OR_RETURN(Statement row,
                       db.Prepare("SELECT id, trial, digest, content FROM result ORDER BY trial, digest"));
  EAQ_ASSIGN_OR_RETURN(
      Statement counts,
      db.Prepare(
          "SELECT (SELECT count(*) FROM metric WHERE result = ?1), (SELECT count(*) FROM series WHERE result = "
          "?1), (SELECT count(*) FROM linear WHERE result = ?1), (SELECT count(*) FROM expert_use WHERE result = "
          "?1)"));
  EAQ_ASSIGN_OR_RETURN(Statement value, db.Prepare("SELECT 1 FROM metric WHERE result = ? AND name = ? AND domain = ? "
                                                   "AND layer = ? AND value = ?"));
  while (true) {
    EAQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return absl::OkStatus();
    const std::string trial = row.Text(1);
    TrialResult content;
    if (!content.ParseFromString(row.Text(3)) || ResultDigest(content) != row.Text(2)) {
      findings.push_back({"digest", absl::StrCat("trial ", trial, ": the result does not hash to its digest")});
      continue;
    }
    EAQ_RETURN_IF_ERROR(counts.Query(row.Int(0)).status());
    bool same = counts.Int(0) == content.metric_size() && counts.Int(1) == content.series_size() &&
                counts.Int(2) == content.linear_size() && counts.Int(3) == content.expert_use_size();
    for (const Metric& metric : content.metric()) {
      if (!metric.has_value() || metric.value() - metric.value() != 0) continue;  // only finite values have a number
      const int64_t layer = metric.has_layer() ? metric.layer() : -1;
      EAQ_ASSIGN_OR_RETURN(const bool there,
                           value.Query(row.Int(0), metric.name(), metric.domain(), layer, metric.value()));
      same = same && there;
    }
    if (!same) findings.push_back({"explosion", absl::StrCat("trial ", trial, ": tables and result differ")});
  }
}

// Each query gives one text per row, ordered, without local ids.
constexpr const char* kDump[] = {
    "SELECT 'sweep|' || id || '|' || started_ns || '|' || name || '|' || spec_text || '|' || command FROM sweep ORDER "
    "BY "
    "1",
    "SELECT 'sweep_trial|' || sweep || '|' || position || '|' || trial FROM sweep_trial ORDER BY 1",
    "SELECT 'trial|' || key || '|' || hex(spec) || '|' || spec_text || '|' || numerics_version || '|' || "
    "coalesce(seed, "
    "'') FROM trial ORDER BY 1",
    "SELECT 'label|' || trial || '|' || hex(spec) || '|' || first_ns FROM label ORDER BY 1",
    "SELECT 'provenance|' || hash || '|' || git_commit || '|' || corpora FROM provenance ORDER BY 1",
    "SELECT 'result|' || trial || '|' || digest || '|' || hex(content) FROM result ORDER BY 1",
    "SELECT 'attempt|' || a.id || '|' || a.trial || '|' || a.started_ns || '|' || a.outcome || '|' || a.message || '|' "
    "|| "
    "coalesce(p.hash, '') || '|' || coalesce(r.digest, '') || '|' || coalesce(a.wall_seconds, '') FROM attempt a LEFT "
    "JOIN provenance p ON p.id = a.provenance LEFT JOIN result r ON r.id = a.result ORDER BY 1",
    "SELECT 'stage_run|' || attempt || '|' || position || '|' || stage || '|' || hash || '|' || seconds || '|' || "
    "from_cache FROM stage_run ORDER BY 1",
    "SELECT 'metric|' || r.trial || '|' || r.digest || '|' || name || '|' || domain || '|' || layer || '|' || position "
    "|| "
    "'|' || coalesce(value, '') || '|' || kind FROM metric m JOIN result r ON r.id = m.result ORDER BY 1",
    "SELECT 'series|' || r.trial || '|' || r.digest || '|' || position || '|' || metric || '|' || domain || '|' || "
    "hex(value) || '|' || d.names FROM series s JOIN result r ON r.id = s.result JOIN documents d ON d.id = "
    "s.documents "
    "ORDER BY 1",
    "SELECT 'linear|' || r.trial || '|' || r.digest || '|' || position || '|' || linear || '|' || bits || '|' || "
    "stored_bits || '|' || note FROM linear l JOIN result r ON r.id = l.result ORDER BY 1",
    "SELECT 'expert_use|' || r.trial || '|' || r.digest || '|' || position || '|' || domain || '|' || layer || '|' || "
    "hex(share) FROM expert_use e JOIN result r ON r.id = e.result ORDER BY 1",
    "SELECT 'current|' || c.trial || '|' || r.digest || '|' || c.attempt FROM current_result c JOIN result r ON r.id = "
    "c.result ORDER BY 1",
};

}  // namespace

absl::StatusOr<std::vector<Ledger::Finding>> Ledger::Doctor() {
  Findings findings;
  EAQ_RETURN_IF_ERROR(CheckFile(*db_, findings));
  EAQ_RETURN_IF_ERROR(CheckKeys(*db_, findings));
  EAQ_RETURN_IF_ERROR(CheckResults(*db_, findings));
  EAQ_ASSIGN_OR_RETURN(const auto conflicts, Conflicts());
  for (const auto& [trial, digests] : conflicts) {
    findings.push_back({"conflict", absl::StrCat("trial ", trial, ": ", digests.size(),
                                                 " different results: ", absl::StrJoin(digests, ", "))});
  }
  EAQ_ASSIGN_OR_RETURN(const auto orphans, OrphanClaims(ThisProcess("doctor")));
  for (const DeadClaim& claim : orphans) {
    findings.push_back({"orphan_claim",
                        absl::StrCat("trial ", claim.trial, ": claimed by process ", claim.owner.pid, " on ",
                                     claim.owner.host, ", which is gone; the next sweep takes it over"),
                        false});
  }
  return findings;
}

absl::StatusOr<std::string> Ledger::Dump() {
  std::string dump;
  for (const char* sql : kDump) {
    EAQ_ASSIGN_OR_RETURN(Statement row, db_->Prepare(sql));
    while (true) {
      EAQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      absl::StrAppend(&dump, row.Text(0), "\n");
    }
  }
  return dump;
}

}  // namespace eaq

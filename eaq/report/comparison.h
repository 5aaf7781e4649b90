// The comparison as data: what goes in (ReportInputs) and what every rendering is made from (Comparison).
//
// Terms: a Group is all calibration seeds of one recipe under one scheme (one row of the table). Losses are mean
// negative log-likelihoods in nats per token, lower is better; "delta" is group minus full precision, on the same
// windows.
#ifndef EAQ_REPORT_COMPARISON_H_
#define EAQ_REPORT_COMPARISON_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "eaq/eval/rank_correlation.h"
#include "eaq/eval/statistics.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

// ---- in ----
struct ReportTrial {
  std::string key;
  TrialSpec spec;
  TrialResult result;          // with wall_seconds and peak_memory_bytes filled in, where known
  bool ablation_only = false;  // an arm of an ablation that is no row of the table
};

struct ReportFailure {
  std::string key, model, scheme, recipe;
  uint64_t seed = 0;
  std::string outcome;  // "failed", "oom", "timeout", "lost"
  std::string message;
  std::string command;  // one line that runs it again
  std::string log;
};

struct ReportProvenance {
  std::string commit, dirty, binary_hash, host, cpu, kernel, compiler;  // of the first trial
  std::map<std::string, int64_t> binaries;     // of all trials: hash of the binary -> trials it ran
  std::string ledger;                          // path as the user named it, or an id
  std::string spec_name;                       // of the experiment
  std::string spec_text;                       // resolved textproto, may be long
  std::string command;                         // regenerates the report
  std::map<std::string, std::string> corpora;  // name -> package, version, hash
};

// One generated ablation: recipes between `relative_to` (no part on) and `of` (all parts on).
struct AblationInputs {
  std::string of, relative_to;
  std::vector<std::string> parts;
  std::vector<std::vector<std::string>> fields;  // of each part: paths in the recipe
  struct Arm {
    std::vector<int> on;  // parts as in `of`, ascending
    std::string name;
    std::vector<std::string> keys;  // of its trials, all schemes and seeds
  };
  std::vector<Arm> arms;
  std::vector<std::string> notes;
};

// "RECIPE has a lower loss than OVER", names or titles, said in SOURCE in the words TEXT.
struct ClaimInputs {
  std::string text, source, recipe, over;
  std::vector<std::string> schemes;  // empty: all
};

struct ReportInputs {
  std::string title;
  std::string form;  // "as published", "equal"; empty: the experiment has but one
  std::vector<AblationInputs> ablations;
  std::vector<ClaimInputs> claims;
  std::vector<ReportTrial> trials;  // finished ones, full precision among them
  std::vector<ReportFailure> failures;
  int64_t pending = 0;  // trials of the experiment that have neither a result nor a failure
  ReportProvenance provenance;
};

struct CompareOptions {
  std::string baseline;          // name or title of the reference recipe; empty: the first one
  PairedOptions paired;          // margin, alpha, draws
  uint64_t seed = 0;             // of the resampling
  bool canonical_order = false;  // sort schemes (most bits first) and recipes (by name) instead of by appearance
  bool rank_despite_bits = false, rank_despite_scope = false;  // the fairness gate lets these differences pass
};

// ---- out ----
// One group on one domain, or on all domains pooled (domain "all").
struct DomainCell {
  std::string domain;
  int64_t windows = 0, documents = 0;
  double nll = 0;                           // nats per token, mean over windows and seeds
  double perplexity = 0;                    // exp(nll)
  std::optional<PairedResult> versus_full;  // delta; absent for full precision itself and when it is missing
  // Means over windows and seeds; those of routers over layers too.
  std::optional<double> kl, greedy_agreement, router_topk_agreement, router_top1_change, router_kl;
  std::vector<double> seed_delta;  // delta per calibration seed (nll where full precision is missing)
  double seed_spread = 0;          // their sample standard deviation
  bool lowest = false;             // no unmarked row of the scheme has a lower perplexity, to two digits
};

struct LayerRouter {
  int layer = 0;
  double topk_agreement = 0, top1_change = 0, kl = 0;  // means over domains and seeds
};

struct LinearError {
  std::string id;  // "L3.e7.down"
  int layer = 0, expert = -1;
  std::string role;
  int bits = 0;
  double calibration_tokens = 0;
  double weight_error = 0;
  std::optional<double> output_error;
  std::string note;
};  // numbers are means over seeds

struct ExpertShare {
  std::string domain;
  int layer = 0;
  std::vector<double> share;
};

// One group on one task. Accuracies of minimal pairs are means over paradigms, of other tasks over items; then over
// seeds.
struct TaskCell {
  std::string task;
  double accuracy = 0;
  std::optional<double> accuracy_norm;      // by ll / characters: multiple choice, next segment
  std::optional<double> word_perplexity;    // last word
  double accuracy_of_phenomena = 0;         // minimal pairs: mean over phenomena of the means over their paradigms
  std::map<std::string, double> phenomena;  // accuracy by phenomenon; of other tasks by paradigm (domain, file)
  std::optional<PairedResult> versus_full;  // accuracy minus full precision's, paired over units
  std::optional<double> mcnemar_p;          // exact, over the single items; of several seeds the largest
};

// Two recipes of one scheme on one task, as Duel.
struct TaskDuel {
  int first = 0, second = 0;  // indices into groups
  PairedResult accuracy;      // first minus second, paired over units
  double mcnemar_p = 1;       // exact; of several pairs of seeds the largest
};

struct TaskSummary {
  std::string name;
  std::string kind;              // "minimal pairs, original protocol", "multiple choice", "last word", "next segment"
  std::string unit;              // what is resampled: "paradigms", "items", "documents"
  int64_t units = 0, items = 0;  // how many of those, and of single items
  double chance = 0.5;           // what guessing gives: 1 / candidates, mean over items
  double constant = 0;           // what the candidate text gives that is right most often
  std::optional<PairedResult> full_above_chance;  // full precision's accuracy minus the larger of both
  bool at_chance = false;                         // it is not significantly positive: no verdicts from this task
  std::vector<TaskDuel> duels;                    // empty where it is at chance

  double baseline() const { return constant > chance ? constant : chance; }
};

struct Group {
  std::string model, scheme, recipe;  // labels; full precision: scheme and recipe are "full precision"
  bool full_precision = false;
  std::string method;  // `recipe` without what tells calibrations apart
  // What the scheme says beside the weights' grid and the budget, as bytes: rows with the same can be on one line of
  // quality against bytes.
  std::string scheme_rest;
  std::vector<std::string> calibration_domains;  // empty: reads none
  std::vector<std::string> keys;                 // of the trials, by seed
  std::vector<uint64_t> seeds;                   // empty when nothing depends on a seed
  std::string calibration;                       // "64 windows of 256 tokens: a, b"; "none"
  std::string mark;                  // why the row is shown but cannot be best ("calibrated on code only"); else empty
  std::string scope;                 // which matrices are quantized, the router's bits: "all but router"
  double bits_per_weight = 0;        // stored, quantized linears
  double model_bits_per_weight = 0;  // stored, whole model
  double stored_bytes = 0;
  double linear_operations = 0, online_operations = 0;  // multiply-adds a token: of the linears; of run-time transforms
  double repetitive_calibration = 0;  // share of windows that repeat themselves, where the model wrote them itself
  double wall_seconds = 0, peak_memory_bytes = 0;  // means over seeds
  std::vector<DomainCell> domain;
  DomainCell pooled;
  std::vector<LayerRouter> router;
  std::vector<LinearError> linear;
  std::vector<ExpertShare> expert_use;
  // Of the first seed, as recorded (expert_analysis.h); empty unless the recipe switches by data set.
  std::vector<TrialResult::ExpertTable> expert_tables;
  std::vector<Metric> analysis;
  std::vector<TaskCell> task;  // as Comparison::tasks
  int rank_class = 0;          // rows of one scheme and one class are ranked together
  bool best = false;           // lowest pooled loss among the unmarked rows of its scheme and class
  bool tied = false;  // not the best, unmarked, and the best is not significantly better (equivalent or undecided)
};

// Two recipes of one scheme, paired on the pooled windows: first minus second.
struct Duel {
  int first = 0, second = 0;              // indices into groups
  PairedResult pooled;                    // p_holm: Holm over all duels of the table
  int domains_won = 0, domains_lost = 0;  // by the first, interval clear of zero
};

// Rows that may be ranked: one scheme, scope and stored bits, no mark.
struct Ranking {
  std::string label;        // "W2A16"; "W2A16, 3.12 bits" where the scheme has several
  std::vector<int> groups;  // indices, in table order
  int best = -1;
  std::string sentence;  // "W2A16: best is GPTQ: ..."
};

struct SchemeSummary {
  std::string scheme;
  std::vector<int> groups;        // indices, in table order
  std::vector<Ranking> rankings;  // by rank_class
};

// ---- ablations ----
enum class EffectKind {
  kWhole,    // whole minus base
  kAlone,    // base with the part, minus base
  kWithout,  // whole, minus the whole without the part: what the part does beside the others
  kPair,     // interaction d(AB) - d(A) - d(B), d: minus base
  kRest,     // whole minus base minus the sum over parts (kAlone, or kWithout where none ran alone)
};
absl::string_view EffectName(EffectKind kind);  // "whole", "alone", "without", "interaction", "rest"

// A sum of losses with signs, window by window, seeds averaged: negative is better.
struct AblationEffect {
  EffectKind kind = EffectKind::kWhole;
  std::string label;                   // "smoothing"; "smoothing x clip"
  std::vector<int> parts;              // indices into AblationTable::parts
  std::optional<PairedResult> paired;  // p_holm: over the effects of the table; absent while a trial is missing
};

struct AblationRow {
  std::string name;  // of the recipe
  std::vector<int> on;
  std::optional<DomainCell> pooled;  // absent while no trial is finished
  size_t seeds = 0;
};

// One ablation under one scheme.
struct AblationTable {
  std::string of, relative_to, model, scheme, form;
  std::vector<std::string> parts;
  std::vector<std::vector<std::string>> fields;
  std::vector<AblationRow> rows;        // base, whole, then the others
  std::vector<AblationEffect> effects;  // whole, alone, without, pairs, rest
  std::vector<std::string> notes;
};

// ---- claims ----
struct ClaimRow {
  std::string text, source, recipe, over, scheme;
  std::optional<PairedResult> paired;  // loss of `recipe` minus that of `over`; p_holm: over the claims of the table
};

// ---- does a faithful router mean a small loss? ----
// Over the rows of one scheme: rank correlation of what the router does with the difference to full precision. Absent
// with fewer than 4 rows that have both, or where all are equal.
struct RouterPrediction {
  std::string scheme;
  std::optional<RankCorrelation> agreement;  // top-k agreement; negative where agreement goes with a small loss
  std::optional<RankCorrelation> kl;         // of the routers' distributions; positive likewise
};

// ---- what sharing work saves ----
struct CostRow {
  std::string recipe;  // label; "full precision"
  int64_t trials = 0;
  double peak_memory_bytes = 0;  // the largest of its trials; 0: not recorded
  // Medians over the trials whose wall time was recorded: of it, and of it without the cache. Absent without any.
  std::optional<double> median_seconds, median_alone;
  int64_t timed = 0;  // so many trials
  // That a trial's recipe reads, windows x tokens: the least and most over its trials. 0: it reads none.
  int64_t calibration_tokens_least = 0, calibration_tokens_most = 0;
  double spent = 0;  // wall seconds of its trials
  double alone = 0;  // what they would have taken without the cache: `spent`, plus for every stage from the cache what
                     // making it took the trial that made it, minus the time of reading it
  int64_t stages = 0, stages_from_cache = 0;
};
struct CostTable {
  std::string model;
  std::vector<CostRow> rows;
  int64_t recipes = 0;         // rows but full precision
  double spent = 0;            // all rows
  double alone = 0;            // rows but full precision: N times one
  int64_t unknown_stages = 0;  // from the cache, made by a trial that is not in this report: counted as saving nothing
};

struct Comparison {
  std::string title;
  std::string form;  // of ReportInputs
  CompareOptions options;
  ReportProvenance provenance;
  std::vector<std::string> domains;
  int64_t windows = 0, documents = 0, window_tokens = 0;  // windows and documents over all domains
  std::vector<Group> groups;                              // full precision first, if there
  std::vector<SchemeSummary> schemes;
  std::vector<Duel> duels;
  std::vector<TaskSummary> tasks;
  int64_t family_tasks = 0;          // tests of tasks against full precision corrected together
  int64_t family_task_duels = 0;     // and those between methods
  int64_t family_full = 0;           // tests against full precision corrected together (Holm); duels: duels.size()
  std::vector<std::string> equal;    // fairness: what all rows share, one line each
  std::vector<std::string> unequal;  // and what they do not, though they stand in one table
  std::vector<std::string> equal_fields, unequal_fields;  // of the rows' recipes, field by field
  std::vector<std::string> gate;     // rows that are not ranked together though their scheme is one, or in spite of it
  std::vector<std::string> refused;  // trials set aside, with the reason
  std::vector<std::string> notes;    // cautions: few documents, one seed, missing full precision, ...
  std::vector<ReportFailure> failures;
  int64_t pending = 0;
  std::vector<AblationTable> ablations;
  std::vector<ClaimRow> claims;
  std::vector<RouterPrediction> router_predictions;
  std::optional<CostTable> cost;
};

}  // namespace eaq

#endif  // EAQ_REPORT_COMPARISON_H_

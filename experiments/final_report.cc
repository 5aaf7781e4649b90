#include "experiments/final_report.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/provenance.h"
#include "eaq/report/cost.h"
#include "eaq/report/from_ledger.h"
#include "eaq/report/report.h"

namespace eaq {

namespace {

// A model in one form of the experiment.
struct Part {
  std::string model, form;  // hash of the content: one path holds several where outliers are injected
};

std::string Label(const Recipe& recipe) { return recipe.has_title() ? recipe.title() : recipe.name(); }

// In the order of the trials. Full precision (no form) stands in every part of its model.
std::vector<Part> PartsOf(const Expansion& expansion, const SweepPlan& plan) {
  std::vector<Part> parts;
  for (size_t i = 0; i < plan.asked.size(); ++i) {
    const Part part{plan.asked[i].spec.model().hash(), expansion.tags[i].form};
    const auto same_model = [&](const Part& p) { return p.model == part.model; };
    const auto same = [&](const Part& p) { return same_model(p) && p.form == part.form; };
    if (!plan.asked[i].spec.has_scheme()) {
      // Alone it is a part of its own, until another trial of the model says which forms there are.
      if (std::none_of(parts.begin(), parts.end(), same_model)) parts.push_back(part);
      continue;
    }
    if (std::any_of(parts.begin(), parts.end(), same)) continue;
    const auto blank =
        std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return same_model(p) && p.form.empty(); });
    if (blank != parts.end()) {
      blank->form = part.form;
    } else {
      parts.push_back(part);
    }
  }
  return parts;
}

ReportInputs InputsOf(const Part& part, const Expansion& expansion, const SweepPlan& plan,
                      const std::map<std::string, const StoredTrial*>& stored) {
  ReportInputs inputs;
  inputs.form = part.form;
  std::map<int, size_t> ablations;   // index in the expansion -> in `inputs`
  std::map<std::string, bool> rows;  // key -> a row of the table (not an arm only)
  const auto mine = [&](size_t i) {
    const TrialSpec& spec = plan.asked[i].spec;
    return spec.model().hash() == part.model && (!spec.has_scheme() || expansion.tags[i].form == part.form);
  };
  for (size_t i = 0; i < plan.asked.size(); ++i) {
    if (mine(i)) rows[plan.asked[i].key] |= expansion.tags[i].arm < 0;
  }
  std::set<std::string> added;
  for (size_t i = 0; i < plan.asked.size(); ++i) {
    if (!mine(i)) continue;
    const PlannedTrial& planned = plan.asked[i];
    const TrialTag& tag = expansion.tags[i];
    if (tag.arm >= 0) {
      const AblationPlan& from = expansion.ablations[tag.ablation];
      const auto [at, is_new] = ablations.emplace(tag.ablation, inputs.ablations.size());
      if (is_new) {
        AblationInputs ablation;
        ablation.relative_to = Label(from.arms[0].recipe);
        ablation.of = Label(from.arms[1].recipe);
        ablation.notes = from.notes;
        for (const AblationPart& p : from.parts) {
          ablation.parts.push_back(p.name);
          ablation.fields.push_back(p.fields);
        }
        for (const AblationArm& arm : from.arms) ablation.arms.push_back({arm.on, Label(arm.recipe), {}});
        inputs.ablations.push_back(std::move(ablation));
      }
      inputs.ablations[at->second].arms[tag.arm].keys.push_back(planned.key);
    }
    // A trial that is a row comes under the row's name, not under that of an arm that means the same.
    if ((tag.arm >= 0 && rows[planned.key]) || !added.insert(planned.key).second) continue;
    const auto it = stored.find(planned.key);
    if (it == stored.end()) {
      ++inputs.pending;
      continue;
    }
    // The ledger keeps the names under which a trial ran first; this experiment may call it otherwise.
    StoredTrial trial = *it->second;
    trial.spec = planned.spec;
    const size_t before = inputs.trials.size();
    AddStoredTrial(trial, inputs);
    if (inputs.trials.size() > before) inputs.trials.back().ablation_only = tag.arm >= 0;
  }
  return inputs;
}

// PICTURES as FOLDER/NAME.svg, and no other .svg there: what an earlier run left would pass for one of this.
absl::Status WritePictures(const std::string& folder, const std::vector<std::pair<std::string, std::string>>& pictures,
                           FinalReport& report) {
  if (pictures.empty() && !IsDirectory(folder)) return absl::OkStatus();
  EAQ_RETURN_IF_ERROR(MakeDirectories(folder));
  std::set<std::string> written;
  for (const auto& [name, document] : pictures) {
    const std::string file = absl::StrCat(name, ".svg");
    EAQ_RETURN_IF_ERROR(WriteFileAtomic(JoinPath(folder, file), document));
    written.insert(file);
  }
  EAQ_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListDirectory(folder));
  for (const std::string& file : files) {
    if (absl::EndsWith(file, ".svg") && written.count(file) == 0) {
      EAQ_RETURN_IF_ERROR(RemoveFile(JoinPath(folder, file)));
    }
  }
  if (!written.empty()) {
    report.files.push_back(absl::StrCat(folder, "/ (", written.size(), written.size() == 1 ? " figure)" : " figures)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FinalReport> MakeFinalReport(const Experiment& experiment, const Expansion& expansion,
                                            const SweepPlan& plan, Ledger& ledger, const FinalReportOptions& options) {
  std::vector<std::string> keys;
  for (const PlannedTrial& trial : plan.trials) keys.push_back(trial.key);
  EAQ_ASSIGN_OR_RETURN(const std::vector<StoredTrial> stored, ledger.LoadTrials(keys));
  std::map<std::string, const StoredTrial*> by_key;
  for (const StoredTrial& trial : stored) by_key[trial.key] = &trial;

  CompareOptions compare;
  compare.baseline = experiment.comparison().reference();
  compare.paired.margin = experiment.comparison().margin();
  compare.paired.alpha = experiment.comparison().alpha();
  compare.paired.draws = experiment.comparison().draws();
  compare.seed = experiment.comparison().seed();
  for (const int difference : experiment.comparison().rank_despite()) {
    compare.rank_despite_bits |= difference == Experiment::Comparing::STORED_BITS;
    compare.rank_despite_scope |= difference == Experiment::Comparing::SCOPE;
  }
  std::vector<Comparison> parts;
  std::map<std::string, std::vector<ReportTrial>> of_model;  // all forms: they share work
  std::map<std::string, size_t> last;                        // model -> its last part
  absl::Status nothing;
  for (const Part& part : PartsOf(expansion, plan)) {
    ReportInputs inputs = InputsOf(part, expansion, plan, by_key);
    inputs.title = experiment.has_title() ? experiment.title() : experiment.name();
    for (const Experiment::Claim& claim : experiment.claim()) {
      inputs.claims.push_back(
          {claim.text(), claim.source(), claim.recipe(), claim.over(), {claim.scheme().begin(), claim.scheme().end()}});
    }
    inputs.provenance.ledger = ledger.path();
    inputs.provenance.spec_name = experiment.name();
    google::protobuf::TextFormat::PrintToString(experiment, &inputs.provenance.spec_text);
    inputs.provenance.command = options.command;
    absl::StatusOr<Comparison> comparison = Compare(inputs, compare);
    if (absl::IsNotFound(comparison.status())) {  // a model whose trials all failed hides none of the others
      nothing = comparison.status();
      continue;
    }
    EAQ_RETURN_IF_ERROR(comparison.status());
    last[part.model] = parts.size();
    std::vector<ReportTrial>& all = of_model[part.model];
    all.insert(all.end(), inputs.trials.begin(), inputs.trials.end());
    parts.push_back(*std::move(comparison));
  }
  if (parts.empty()) return nothing.ok() ? absl::NotFoundError("report: the plan has no trial") : nothing;
  for (const auto& [model, part] : last) parts[part].cost = MeasureCost(of_model[model]);

  FinalReport report;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (options.json) {
      absl::StrAppend(&report.text, i > 0 ? ",\n" : "", RenderJson(parts[i]));
      continue;
    }
    Comparison shown = parts[i];
    if (last.size() > 1) shown.title = absl::StrCat(shown.title, ", ", shown.groups[0].model);
    absl::StrAppend(&report.text, i > 0 ? "\n" : "",
                    RenderText(shown, {options.color, options.width, options.timings}));
  }
  if (const std::string claims = RenderClaims(parts); !options.json && !claims.empty()) {
    absl::StrAppend(&report.text, "\n", claims);
  }
  if (const std::string summary = RenderSummary(parts, {options.color, options.width, options.timings});
      !options.json && !summary.empty()) {
    absl::StrAppend(&report.text, "\n", summary);
  }
  if (options.json && parts.size() > 1) report.text = absl::StrCat("[", report.text, "]\n");
  EAQ_RETURN_IF_ERROR(MakeDirectories(options.folder));
  std::string stem;
  for (const char c : experiment.name()) stem += absl::ascii_isalnum(c) || c == '-' || c == '_' ? c : '_';
  if (stem.empty()) stem = "experiment";
  const auto write = [&](const std::string& extension, const std::string& bytes) {
    const std::string path = JoinPath(options.folder, stem + extension);
    EAQ_RETURN_IF_ERROR(WriteFileAtomic(path, bytes));
    report.files.push_back(path);
    return absl::OkStatus();
  };
  EAQ_RETURN_IF_ERROR(write(".html", RenderHtml(parts)));
  EAQ_RETURN_IF_ERROR(write(".csv", RenderCsv(parts)));
  std::string latex;
  for (const Comparison& part : parts) absl::StrAppend(&latex, latex.empty() ? "" : "\n", RenderLatex(part));
  EAQ_RETURN_IF_ERROR(write(".tex", latex));
  if (const std::string csv = RenderAblationCsv(parts); !csv.empty()) {
    EAQ_RETURN_IF_ERROR(write("_ablation.csv", csv));
  }
  if (const std::string csv = RenderCostCsv(parts); !csv.empty()) EAQ_RETURN_IF_ERROR(write("_cost.csv", csv));
  if (const std::string csv = RenderSummaryCsv(parts); !csv.empty()) EAQ_RETURN_IF_ERROR(write("_summary.csv", csv));
  EAQ_RETURN_IF_ERROR(WritePictures(JoinPath(options.folder, stem + ".figures"), RenderPictures(parts), report));
  return report;
}

}  // namespace eaq

#include "experiments/trial_texts.h"

#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/eval/next_segment.h"
#include "eaq/ledger/trial_key.h"
#include "eaq/recipe/cached_stage.h"
#include "eaq/recipe/calibrate.h"
#include "eaq/recipe/calibration_statistics.h"
#include "eaq/recipe/stage_bytes.h"
#include "eaq/recipe/version.h"
#include "eaq/text/item_files.h"

namespace eaq {
namespace {

using Windows = std::vector<CalibrationWindow>;

Split SplitOfData(const EvaluationData& data) {
  return data.split() == EvaluationData::CALIBRATION ? Split::kCalibration : Split::kEvaluation;
}

// Windows from the cache or MAKE, recorded as a stage.
absl::StatusOr<Windows> CachedWindows(const StageCache& cache, const std::string& stage, const std::string& key,
                                      absl::FunctionRef<absl::StatusOr<Windows>()> make,
                                      std::vector<StageRun>& stages) {
  StageRun run;
  EAQ_ASSIGN_OR_RETURN(Windows windows, CachedStage<Windows>(cache, stage, key, make, WindowsBytes, ParseWindows, run));
  stages.push_back(std::move(run));
  return windows;
}

}  // namespace

TrialTexts::TrialTexts(const TrialSpec& spec, const ModelSource& source, const Tokenizer& tokenizer,
                       const StageCache& cache, const std::string& salt, ThreadPool& pool)
    : spec_(spec), source_(source), tokenizer_(tokenizer), cache_(cache), salt_(salt), pool_(pool) {
  // The planner's order: calibration domains, evaluation domains.
  int i = 0;
  const auto expect = [&](const CorpusRef& ref) {
    if (i < spec.corpus_hash_size()) expected_[ref.name()] = spec.corpus_hash(i++);
  };
  if (spec.has_calibration()) {
    for (const CorpusRef& ref : spec.calibration().domain()) expect(ref);
  }
  for (const CorpusRef& ref : spec.evaluation().domain()) expect(ref);
}

absl::StatusOr<std::shared_ptr<const Corpus>> TrialTexts::Load(const CorpusRef& ref) {
  std::shared_ptr<const Corpus>& corpus = loaded_[ref.name()];
  if (corpus != nullptr) return corpus;
  EAQ_ASSIGN_OR_RETURN(Corpus fresh, LoadCorpus(ref.name(), ref.path()));
  const auto it = expected_.find(ref.name());
  if (it != expected_.end() && it->second != fresh.sha256) {
    return absl::FailedPreconditionError(
        absl::StrCat("corpus ", ref.name(), " has changed since the trial was planned: expected sha256 ",
                     it->second.substr(0, 16), ", found ", fresh.sha256.substr(0, 16), "; run the sweep again"));
  }
  corpus = std::make_shared<const Corpus>(std::move(fresh));
  return corpus;
}

absl::Status TrialTexts::CheckIds(const Windows& windows) const {
  const int64_t vocabulary = source_.config().vocab_size;
  for (const CalibrationWindow& w : windows) {
    for (const int32_t id : w.window.ids) {
      if (id >= 0 && id < vocabulary) continue;
      return absl::FailedPreconditionError(absl::StrCat("document ", w.window.document, ": token id ", id,
                                                        " is outside of the model's vocabulary of ", vocabulary,
                                                        "; does tokenizer.json belong to this model?"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Windows> TrialTexts::Calibration(const CalibrationSlot& stage, std::vector<StageRun>& stages) {
  return Calibration("calibration", spec_.recipe().calibration(), stage, spec_.calibration(), stages);
}

absl::StatusOr<Windows> TrialTexts::Calibration(const std::string& name, const CalibrationStage& options,
                                                const CalibrationSlot& stage, const CalibrationData& wanted,
                                                std::vector<StageRun>& stages) {
  if (!stage.uses_data()) return Windows();
  Fingerprint key("calibration/v1");
  key.Add(salt_).Add(kNumericsVersion).Add(source_.hash()).Add(tokenizer_.hash());
  TrialSpec spec = spec_;
  *spec.mutable_calibration() = wanted;
  CalibrationData data = CanonicalSpec(spec).calibration();
  if (stage.samples()) data.clear_domain();  // written windows are the same whatever the texts
  key.Add(options.SerializeAsString()).Add(data.SerializeAsString());
  for (const CorpusRef& ref : data.domain()) key.Add(ref.name()).Add(expected_[ref.name()]);
  EAQ_ASSIGN_OR_RETURN(Windows windows, CachedWindows(
                                            cache_, name, key.Hex(),
                                            [&] {
                                              return ChooseCalibration(
                                                  stage, wanted, [this](const CorpusRef& ref) { return Load(ref); },
                                                  tokenizer_, source_, pool_);
                                            },
                                            stages));
  EAQ_RETURN_IF_ERROR(CheckIds(windows));
  return windows;
}

absl::StatusOr<std::vector<Metric>> TrialTexts::CalibrationMetrics(const CalibrationSlot& stage, const Windows& windows,
                                                                   std::vector<StageRun>& stages) {
  std::vector<Metric> metrics;
  if (!stage.samples()) return metrics;
  const auto measure = [&](const std::string& name, const Windows& of) -> absl::Status {
    Fingerprint key("calibration statistics/v1");
    key.Add(salt_).Add(kNumericsVersion).Add(source_.hash()).Add(tokenizer_.hash());
    for (const CalibrationWindow& w : of) key.Add(absl::MakeConstSpan(w.window.ids));
    const auto make = [&]() -> absl::StatusOr<std::vector<double>> {
      EAQ_ASSIGN_OR_RETURN(const CalibrationStatistics s, MeasureCalibration(of, source_, tokenizer_, pool_));
      return std::vector<double>{s.imbalance, s.window_imbalance, s.zlib_ratio, s.repetitive};
    };
    StageRun run;
    EAQ_ASSIGN_OR_RETURN(const std::vector<double> numbers,
                         CachedStage<std::vector<double>>(cache_, absl::StrCat(name, " statistics"), key.Hex(), make,
                                                          NumbersBytes, ParseNumbers, run));
    stages.push_back(std::move(run));
    const char* const names[] = {"imbalance", "window_imbalance", "zlib_ratio", "repetitive"};
    for (size_t i = 0; i < numbers.size(); ++i) {
      Metric& metric = metrics.emplace_back();
      metric.set_name(absl::StrCat(name, "_", names[i]));
      metric.set_value(numbers[i]);
    }
    return absl::OkStatus();
  };
  EAQ_RETURN_IF_ERROR(measure("calibration", windows));
  if (spec_.calibration().domain_size() == 0) return metrics;
  CalibrationStage options;
  options.mutable_random();
  EAQ_ASSIGN_OR_RETURN(const auto random, MakeStage<CalibrationSlot>(options, "calibration"));
  std::vector<StageRun> natural_stages;
  const absl::StatusOr<Windows> natural =
      Calibration("calibration", options, *random, spec_.calibration(), natural_stages);
  if (absl::IsInvalidArgument(natural.status())) return metrics;  // too little text
  EAQ_RETURN_IF_ERROR(natural.status());
  EAQ_RETURN_IF_ERROR(measure("natural", *natural));
  return metrics;
}

absl::StatusOr<Windows> TrialTexts::FurtherSets(std::vector<StageRun>& stages) {
  const CalibrationData& own = spec_.calibration();
  CalibrationData data = own;
  data.clear_domain();
  for (const CorpusRef& ref : spec_.evaluation().domain()) {
    const bool known = std::any_of(own.domain().begin(), own.domain().end(),
                                   [&](const CorpusRef& o) { return o.name() == ref.name(); });
    if (!known) *data.add_domain() = ref;
  }
  if (data.domain_size() == 0 || own.domain_size() == 0) return Windows();
  data.set_windows((own.windows() + own.domain_size() - 1) / own.domain_size() * data.domain_size());
  CalibrationStage options;
  options.mutable_random();
  EAQ_ASSIGN_OR_RETURN(const auto random, MakeStage<CalibrationSlot>(options, "calibration"));
  return Calibration("further data sets", options, *random, data, stages);
}

absl::StatusOr<Windows> TrialTexts::CutEvaluation() {
  const EvaluationData& data = spec_.evaluation();
  const Split split = SplitOfData(data);
  Windows windows;
  for (const CorpusRef& ref : data.domain()) {
    EAQ_ASSIGN_OR_RETURN(const auto corpus, Load(ref));
    EAQ_ASSIGN_OR_RETURN(std::vector<Window> all, CutWindows(*corpus, tokenizer_, split, data.window(), &pool_));
    if (static_cast<int64_t>(all.size()) < data.windows()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "evaluation: domain ", ref.name(), " has ", all.size(), " windows of ", data.window(), " tokens in its ",
          SplitName(split), " split; expected at least ", data.windows(), "; ask for fewer or shorter windows"));
    }
    Rng rng(0, absl::StrCat("evaluation/", ref.name()));
    for (Window& window : SelectWindows(std::move(all), data.windows(), rng)) {
      windows.push_back({std::move(window), ref.name()});
    }
  }
  return windows;
}

absl::StatusOr<std::vector<EvaluationDomain>> TrialTexts::Evaluation(std::vector<StageRun>& stages) {
  Fingerprint key("evaluation/v1");
  key.Add(salt_).Add(kNumericsVersion).Add(tokenizer_.hash());
  key.Add(spec_.evaluation().windows())
      .Add(spec_.evaluation().window())
      .Add(static_cast<int>(spec_.evaluation().split()));
  for (const CorpusRef& ref : spec_.evaluation().domain()) key.Add(ref.name()).Add(expected_[ref.name()]);
  EAQ_ASSIGN_OR_RETURN(const Windows windows,
                       CachedWindows(
                           cache_, "evaluation texts", key.Hex(), [&] { return CutEvaluation(); }, stages));
  EAQ_RETURN_IF_ERROR(CheckIds(windows));
  std::vector<EvaluationDomain> domains;
  for (const CalibrationWindow& w : windows) {
    if (domains.empty() || domains.back().name != w.domain) domains.push_back({w.domain, {}});
    domains.back().windows.push_back(w.window);
  }
  return domains;
}

absl::StatusOr<ChoiceTask> TrialTexts::NextSegments(const EvaluationTask& spec, std::vector<StageRun>& stages) {
  const EvaluationTask::NextSegment& how = spec.next_segment();
  const Split split = SplitOfData(spec_.evaluation());
  const int domains = spec_.evaluation().domain_size();
  std::vector<SegmentDomain> parts;
  for (int d = 0; d < domains; ++d) {
    const CorpusRef& ref = spec_.evaluation().domain(d);
    const int64_t items = SegmentsOfDomain(how, d, domains);
    if (items == 0) continue;
    Fingerprint key("next segment/v1");
    key.Add(salt_).Add(kNumericsVersion).Add(tokenizer_.hash()).Add(ref.name()).Add(expected_[ref.name()]);
    key.Add(static_cast<int>(split)).Add(items).Add(how.context()).Add(how.segment()).Add(how.candidates());
    key.Add(how.seed());
    EAQ_ASSIGN_OR_RETURN(std::vector<SegmentItem> drawn,
                         CachedStage<std::vector<SegmentItem>>(
                             cache_, absl::StrCat("items of ", spec.name(), "/", ref.name()), key.Hex(),
                             [&]() -> absl::StatusOr<std::vector<SegmentItem>> {
                               EAQ_ASSIGN_OR_RETURN(const auto corpus, Load(ref));
                               return DrawSegments(*corpus, split, items, how, tokenizer_, pool_);
                             },
                             SegmentBytes, ParseSegments, stages.emplace_back()));
    parts.push_back({ref.name(), std::move(drawn)});
  }
  return MakeSegmentTask(spec.name(), parts, spec.max_items_per_paradigm(), tokenizer_, source_.config().vocab_size);
}

absl::StatusOr<std::vector<ChoiceTask>> TrialTexts::Tasks(std::vector<StageRun>& stages) {
  std::vector<ChoiceTask> tasks;
  for (const EvaluationTask& spec : spec_.evaluation().task()) {
    if (spec.has_next_segment()) {
      absl::StatusOr<ChoiceTask> task = NextSegments(spec, stages);
      EAQ_RETURN_IF_ERROR(Annotate(task.status(), absl::StrCat("task ", spec.name())));
      tasks.push_back(*std::move(task));
      continue;
    }
    EAQ_ASSIGN_OR_RETURN(const ItemSet items, LoadItems(spec));
    if (!spec.hash().empty() && spec.hash() != items.sha256) {
      return absl::FailedPreconditionError(
          absl::StrCat("task ", spec.name(), " has changed since the trial was planned: expected sha256 ",
                       spec.hash().substr(0, 16), ", found ", items.sha256.substr(0, 16), "; run the sweep again"));
    }
    EAQ_ASSIGN_OR_RETURN(ChoiceTask task, MakeChoiceTask(items, spec, tokenizer_, source_.config(), pool_));
    tasks.push_back(std::move(task));
  }
  return tasks;
}

}  // namespace eaq

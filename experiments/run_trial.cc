#include "experiments/run_trial.h"

#include <sys/resource.h>

#include <chrono>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/eval/choice_results.h"
#include "eaq/eval/choice_trace.h"
#include "eaq/eval/evaluate.h"
#include "eaq/eval/significance_correlation.h"
#include "eaq/ledger/provenance.h"
#include "eaq/model/outliers.h"
#include "eaq/proto/add_metric.h"
#include "eaq/recipe/cached_stage.h"
#include "eaq/recipe/calibration_statistics.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/switching.h"
#include "eaq/recipe/token_cost.h"
#include "eaq/recipe/version.h"
#include "experiments/device_evaluation.h"
#include "experiments/switched_tracer.h"
#include "experiments/trial_texts.h"

namespace eaq {
namespace {

absl::Status CheckPlanned(const std::string& what, const std::string& expected, const std::string& found) {
  if (expected.empty() || expected == found) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(what, " has changed since the trial was planned: expected sha256 ",
                                                    expected.substr(0, 16), ", found ", found.substr(0, 16),
                                                    "; run the sweep again"));
}

// Runs every layer of the full-precision model through ADVANCE.
absl::Status RunFull(const ModelSource& source, ProgressSink& progress,
                     absl::FunctionRef<absl::Status(int, const DecoderLayer&)> advance) {
  const int64_t layers = source.config().num_layers;
  for (int l = 0; l < layers; ++l) {
    progress.Update("full precision", l, layers);
    EAQ_ASSIGN_OR_RETURN(LayerParams params, source.LoadLayer(l));
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(source.config(), std::move(params)));
    EAQ_RETURN_IF_ERROR(advance(l, *layer));
  }
  return absl::OkStatus();
}

// Scores the tasks, whose candidates have been through all layers of the model measured.
absl::Status EvaluateTasks(const ChoiceTracer& tracer, const std::vector<ChoiceTask>& tasks, ThreadPool& pool,
                           ProgressSink& progress, TrialResult& result) {
  EAQ_ASSIGN_OR_RETURN(const auto scores, tracer.Scores(pool, progress));
  for (size_t t = 0; t < tasks.size(); ++t) EAQ_RETURN_IF_ERROR(AddChoiceResults(tasks[t], scores[t], result));
  return absl::OkStatus();
}

// The full-precision model over the evaluation windows: the same for all trials of a model, so cached.
absl::StatusOr<ModelTrace> FullTrace(const ModelSource& source, const ModelEnds& ends,
                                     const std::vector<EvaluationDomain>& domains, const StageCache& cache,
                                     const std::string& salt, ThreadPool& pool, ProgressSink& progress, StageRun& run) {
  const auto windows = WindowIds(domains);
  Fingerprint key("trace/v1");
  key.Add(salt).Add(kNumericsVersion).Add(source.hash());
  for (const auto& ids : windows) key.Add(ids);
  return CachedStage<ModelTrace>(
      cache, "full precision", key.Hex(),
      [&]() -> absl::StatusOr<ModelTrace> {
        Tracer tracer(ends, windows, pool);
        EAQ_RETURN_IF_ERROR(RunFull(source, progress, [&](int l, const DecoderLayer& layer) {
          tracer.Advance(l, layer, pool);
          return absl::OkStatus();
        }));
        return tracer.Finish();
      },
      [](const ModelTrace& trace) { return trace.Serialize(); }, ModelTrace::Parse, run);
}

void AddSize(const ModelSize& size, TrialResult& result) {
  AddMetric("bits_per_weight", "", size.bits_per_quantized_weight(), result);
  AddMetric("model_bits_per_weight", "", size.bits_per_parameter(), result);
  AddMetric("stored_bytes", "", static_cast<double>(size.total_bytes()), result);
}

// What dropping experts at run time left out on the evaluation windows, and what of a token's multiply-adds that is:
// returned.
double AddDropping(const ModelConfig& config, const ModelTrace& trace, TrialResult& result) {
  const double expert = 3.0 * static_cast<double>(config.expert_width) * static_cast<double>(config.hidden_size);
  int64_t tokens = 0;
  for (const Matrix& window : trace.hidden) tokens += window.rows();
  double saved = 0;
  for (const auto& [layer, dropped] : trace.dropped) {
    const double per_token = static_cast<double>(dropped) / static_cast<double>(std::max<int64_t>(1, tokens));
    saved += per_token * expert;
    AddMetric("dropped_activations", "", per_token / static_cast<double>(config.experts_per_token), result, layer);
  }
  AddMetric("dropped_activations", "", DroppedShare(trace), result);
  AddMetric("dropped_operations", "", saved, result);
  return saved;
}

// A model of which nothing is quantized.
ModelSize FullSize(const ModelConfig& config) {
  ModelSize size;
  size.AddUnquantized(CountParameters(config).total);
  return size;
}

}  // namespace

absl::StatusOr<TrialResult> RunTrial(const TrialSpec& spec, const RunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  NullProgress nobody;
  ProgressSink& progress = options.progress == nullptr ? nobody : *options.progress;
  ThreadPool pool(options.threads);
  const StageCache cache(options.cache_folder.empty() ? "" : JoinPath(options.cache_folder, "stages"));
  const std::string salt = OwnBinaryHash();

  EAQ_RETURN_IF_ERROR(CheckBackend(spec.backend()));
  progress.Update("texts", 0, 1);
  EAQ_ASSIGN_OR_RETURN(std::shared_ptr<const ModelSource> source, OpenModel(options.model_path));
  if (spec.model().has_outliers()) {
    const OutlierInjection& o = spec.model().outliers();
    EAQ_ASSIGN_OR_RETURN(source,
                         InjectOutliers(source, {.channels = o.channels(), .factor = o.factor(), .seed = o.seed()}));
  }
  EAQ_RETURN_IF_ERROR(CheckPlanned(absl::StrCat("model ", options.model_path), spec.model().hash(), source->hash()));
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(JoinPath(options.model_path, "tokenizer.json")));
  EAQ_RETURN_IF_ERROR(CheckPlanned(absl::StrCat(options.model_path, "/tokenizer.json"), spec.model().tokenizer_hash(),
                                   tokenizer->hash()));
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source->LoadOuter());
  const ModelEnds ends(source->config(), std::move(outer));

  std::vector<StageRun> stages;
  TrialTexts texts(spec, *source, *tokenizer, cache, salt, pool);
  EAQ_ASSIGN_OR_RETURN(const std::vector<EvaluationDomain> domains, texts.Evaluation(stages));
  EAQ_ASSIGN_OR_RETURN(const ModelTrace full,
                       FullTrace(*source, ends, domains, cache, salt, pool, progress, stages.emplace_back()));
  // Tasks need no trace of the full model: their answers are compared in the report.
  EAQ_ASSIGN_OR_RETURN(const std::vector<ChoiceTask> tasks, texts.Tasks(stages));
  TrialResult result;
  std::unique_ptr<DeviceEvaluation> device;  // what runs the model that is measured; null: the CPU
  const auto open_device = [&](const ChoiceTracer& candidates) -> absl::Status {
    if (spec.backend() == "cpu") return absl::OkStatus();
    const int64_t rows = std::max<int64_t>(spec.evaluation().window(), candidates.most_keys());
    EAQ_ASSIGN_OR_RETURN(device, DeviceEvaluation::Create(spec.backend(), source->config(), rows));
    result.set_device(device->device_name());
    return absl::OkStatus();
  };
  const auto scorer_of = [&](const ModelEnds& measured) -> absl::StatusOr<std::unique_ptr<WindowScorer>> {
    if (device == nullptr) return std::unique_ptr<WindowScorer>();
    return device->Scorer(ends, measured);
  };
  if (!spec.has_recipe()) {
    for (StageRun& stage : stages) *result.add_stage() = std::move(stage);
    ChoiceTracer candidates(ends, tasks, pool);
    EAQ_RETURN_IF_ERROR(open_device(candidates));
    ModelTrace on_device;
    if (device != nullptr) {
      Tracer tracer(ends, WindowIds(domains), pool);
      EAQ_RETURN_IF_ERROR(RunFull(*source, progress, [&](int, const DecoderLayer& layer) -> absl::Status {
        DeviceLayer there(*device, nullptr);
        EAQ_RETURN_IF_ERROR(there.Advance(layer, tracer));
        return there.Advance(layer, candidates);
      }));
      on_device = tracer.Finish();
    } else if (!tasks.empty()) {
      EAQ_RETURN_IF_ERROR(RunFull(*source, progress, [&](int, const DecoderLayer& layer) {
        candidates.Advance(layer, pool);
        return absl::OkStatus();
      }));
    }
    EAQ_ASSIGN_OR_RETURN(const auto scorer, scorer_of(ends));
    EAQ_RETURN_IF_ERROR(Evaluate(ends, domains, device == nullptr ? full : on_device, nullptr, pool, progress, result,
                                 {.scorer = scorer.get()}));
    if (!tasks.empty()) EAQ_RETURN_IF_ERROR(EvaluateTasks(candidates, tasks, pool, progress, result));
    AddSize(FullSize(source->config()), result);
  } else {
    EAQ_ASSIGN_OR_RETURN(const auto chooser, MakeStage<CalibrationSlot>(spec.recipe().calibration(), "calibration"));
    EAQ_ASSIGN_OR_RETURN(const std::vector<CalibrationWindow> calibration, texts.Calibration(*chooser, stages));
    EAQ_ASSIGN_OR_RETURN(const std::vector<Metric> written, texts.CalibrationMetrics(*chooser, calibration, stages));
    for (const Metric& metric : written) *result.add_metric() = metric;
    EAQ_ASSIGN_OR_RETURN(const std::shared_ptr<const ModelSource> wrapped, WrapModel(spec.recipe(), source));
    std::optional<ModelEnds> own_ends;  // of a model whose embedding and head the recipe transforms
    if (wrapped != source) {
      EAQ_ASSIGN_OR_RETURN(OuterParams own, wrapped->LoadOuter());
      own_ends.emplace(wrapped->config(), std::move(own));
    }
    const ModelEnds& quantized_ends = own_ends ? *own_ends : ends;
    PipelineInputs inputs;
    inputs.source = wrapped.get();
    inputs.ends = &quantized_ends;
    inputs.seed = spec.calibration().seed();
    inputs.recipe = &spec.recipe();
    inputs.scheme = &spec.scheme();
    inputs.calibration = &calibration;
    inputs.cache = &cache;
    inputs.cache_salt = salt;
    ChoiceTracer candidates(quantized_ends, tasks, pool);
    EAQ_RETURN_IF_ERROR(open_device(candidates));
    if (device != nullptr) inputs.ops = &device->ops();
    inputs.pool = &pool;
    inputs.progress = &progress;
    EAQ_ASSIGN_OR_RETURN(const auto allocator, MakeStage<AllocateSlot>(spec.recipe().allocate(), "allocate"));
    const std::optional<SwitchingOptions> switching = allocator->switching();
    std::vector<CalibrationWindow> further;
    if (switching && switching->states && switching->told) {
      EAQ_ASSIGN_OR_RETURN(further, texts.FurtherSets(stages));
    }
    inputs.further = &further;
    if (switching && !switching->told && spec.recipe().has_online_pruning()) {
      return absl::InvalidArgumentError(
          "a recipe with online_pruning whose data set is detected: which experts were dropped is known only for all "
          "windows together; expected a data set that is told, or no online_pruning");
    }
    std::vector<std::string> names;
    for (const CalibrationWindow& window : calibration) names.push_back(window.domain);
    std::vector<int> set;
    const std::vector<std::string> known = DistinctNames(names, &set);
    SwitchedTracer tracer(quantized_ends, domains, switching, known, pool);
    double trace_seconds = 0;
    TokenCost token_cost;
    EAQ_ASSIGN_OR_RETURN(PipelineReport report, QuantizeModel(inputs, [&](const FinishedLayer& layer) {
                           const auto layer_start = std::chrono::steady_clock::now();
                           if (device != nullptr) {
                             DeviceLayer there(*device, layer.solved);
                             EAQ_RETURN_IF_ERROR(there.Advance(layer, tracer));
                             EAQ_RETURN_IF_ERROR(there.Advance(*layer.quantized, candidates));
                           } else {
                             tracer.Advance(layer, pool);
                             candidates.Advance(*layer.quantized, pool);
                           }
                           trace_seconds += SecondsSince(layer_start);
                           const TokenCost cost = CostOfToken(wrapped->config(), *layer.params);
                           token_cost.linears += cost.linears;
                           token_cost.online += cost.online;
                           return absl::OkStatus();
                         }));
    for (StageRun& stage : stages) *result.add_stage() = std::move(stage);
    for (StageRun& stage : report.stages) *result.add_stage() = std::move(stage);
    for (LinearReport& linear : report.linears) *result.add_linear() = std::move(linear);
    result.MergeFrom(report.analyses);
    AddSignificanceCorrelations(result);
    std::vector<ExpertCounts> choices;
    if (tracer.detects()) {
      EAQ_ASSIGN_OR_RETURN(choices, CountExpertUse(calibration, *source, pool));
    }
    EAQ_ASSIGN_OR_RETURN(const ModelTrace quantized, tracer.Finish(choices, set, result));
    Fingerprint trace("quantized model/v1");
    for (const Matrix& hidden : quantized.hidden) trace.Add(absl::MakeConstSpan(hidden.data(), hidden.size()));
    StageRun& traced = *result.add_stage();
    traced.set_stage("quantized model");
    traced.set_hash(trace.Hex());
    traced.set_seconds(trace_seconds);
    EAQ_ASSIGN_OR_RETURN(const auto scorer, scorer_of(quantized_ends));
    EAQ_RETURN_IF_ERROR(
        Evaluate(ends, domains, full, &quantized, pool, progress, result,
                 {.quantized_ends = &quantized_ends, .top_k = spec.evaluation().top_k(), .scorer = scorer.get()}));
    EAQ_RETURN_IF_ERROR(EvaluateTasks(candidates, tasks, pool, progress, result));
    AddSize(report.size, result);
    AddMetric("linear_operations", "", token_cost.linears, result);
    double online = token_cost.online;
    if (spec.recipe().has_online_pruning()) online -= AddDropping(source->config(), quantized, result);
    AddMetric("online_operations", "", online, result);  // below 0 where dropping saves more than transforms add
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  result.set_peak_memory_bytes(int64_t{usage.ru_maxrss} * 1024);
  result.set_wall_seconds(SecondsSince(start));
  result.set_threads(options.threads);
  return result;
}

}  // namespace eaq

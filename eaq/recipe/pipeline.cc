#include "eaq/recipe/pipeline.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/recipe/cached_stage.h"
#include "eaq/recipe/online_pruning.h"
#include "eaq/recipe/version.h"

namespace eaq {
namespace {

// Hidden states of more bytes than this are computed anew by every recipe rather than kept on disk.
constexpr int64_t kMostCachedStates = int64_t{1} << 28;

class Walk {
 public:
  Walk(const PipelineInputs& in, RecipeSlots slots, LayerScheme scheme)
      : in_(in),
        slots_(std::move(slots)),
        scheme_(scheme),
        salt_(in.ops == &CpuOps() ? in.cache_salt : absl::StrCat(in.cache_salt, "/", in.ops->name())),
        uses_data_(slots_.calibration->uses_data()),
        keeps_full_(uses_data_ && slots_.needs_full_hidden()) {}

  absl::StatusOr<PipelineReport> Run(const LayerSink& sink) {
    const ModelConfig& config = in_.source->config();
    Enter();
    if (in_.recipe->has_online_pruning()) {
      EAQ_RETURN_IF_ERROR(ValidateOnlinePruning(config, in_.recipe->online_pruning()));
    }
    EAQ_RETURN_IF_ERROR(Annotate(Allocate(), "slot allocate"));
    EAQ_RETURN_IF_ERROR(Annotate(PlanDropping(), "online_pruning"));
    for (int l = 0; l < config.num_layers; ++l) {
      in_.progress->Update("quantize layers", l, config.num_layers);
      EAQ_RETURN_IF_ERROR(Annotate(Layer(l, sink), absl::StrCat("layer ", l)));
    }
    in_.progress->Update("quantize layers", config.num_layers, config.num_layers);
    const OuterParams& ends = in_.ends->params();
    report_.size.AddUnquantized(ends.embedding.size() + ends.head.size() +
                                static_cast<int64_t>(ends.final_norm.size()));
    return std::move(report_);
  }

 private:
  // CachedStage, recorded in the report.
  template <typename T>
  absl::StatusOr<T> Cached(const std::string& stage, const std::string& key,
                           absl::FunctionRef<absl::StatusOr<T>()> make, std::string (*to_bytes)(const T&),
                           absl::StatusOr<T> (*parse)(absl::string_view), std::string* output_hash) {
    StageRun run;
    EAQ_ASSIGN_OR_RETURN(T result, CachedStage<T>(*in_.cache, stage, key, make, to_bytes, parse, run));
    *output_hash = run.hash();
    report_.stages.push_back(std::move(run));
    return result;
  }

  // Windows at the entrance of layer 0.
  struct Entrance {
    std::vector<Matrix> hidden;
    std::vector<std::string> domains;
    std::string fingerprint;
  };
  Entrance Embed(const std::vector<CalibrationWindow>& windows) const {
    Entrance at;
    at.hidden.resize(uses_data_ ? windows.size() : 0);
    in_.pool->ParallelFor(at.hidden.size(), [&](int64_t w) {
      at.hidden[w] = Matrix(windows[w].window.ids.size(), in_.source->config().hidden_size);
      in_.ends->Embed(windows[w].window.ids, at.hidden[w].view());
    });
    Fingerprint state("state/v1");
    state.Add(in_.source->hash());
    for (const CalibrationWindow& w : windows) {
      state.Add(absl::MakeConstSpan(w.window.ids)).Add(w.domain);
      at.domains.push_back(w.domain);
    }
    at.fingerprint = state.Hex();
    return at;
  }

  void Enter() {
    Entrance at = Embed(*in_.calibration);
    hidden_ = std::move(at.hidden);
    domains_ = std::move(at.domains);
    state_ = entrance_ = std::move(at.fingerprint);
    if (keeps_full_) full_hidden_ = hidden_;
  }

  // STATES, the inputs of the layer of ORIGINAL in full precision, become its outputs. Nothing of the recipe is in
  // them, so they are shared through the cache, and they are not a stage of the report. ENTRANCE: the fingerprint of
  // what they were before the first layer.
  absl::Status AdvanceFull(const LayerParams& original, std::vector<Matrix>& states, const std::string& entrance) {
    const auto make = [&]() -> absl::StatusOr<std::vector<Matrix>> {
      EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(in_.source->config(), original));
      EAQ_RETURN_IF_ERROR(in_.ops->ForwardLayer(*layer, NoCodes, absl::MakeSpan(states), {}, *in_.pool));
      return std::move(states);
    };
    int64_t bytes = 0;
    for (const Matrix& x : states) bytes += x.size() * sizeof(float);
    if (bytes > kMostCachedStates) {
      EAQ_ASSIGN_OR_RETURN(states, make());
      return absl::OkStatus();
    }
    Fingerprint key("full_states/v1");
    key.Add(salt_).Add(kNumericsVersion).Add(entrance).Add(original.layer);
    StageRun run;
    EAQ_ASSIGN_OR_RETURN(states, CachedStage<std::vector<Matrix>>(*in_.cache, "full states", key.Hex(), make,
                                                                  StatesBytes, ParseStates, run));
    return absl::OkStatus();
  }

  // Slot 3: the plan of the whole model, after a walk through its layers in full precision where the allocator asks for
  // one.
  absl::Status Allocate() {
    const ModelConfig& config = in_.source->config();
    const AllocateSlot& slot = *slots_.allocate;
    std::vector<std::vector<double>> surveys;
    if (slot.surveys_model()) {
      EAQ_ASSIGN_OR_RETURN(surveys, SurveyModel(slot));
    }
    if (slot.surveys()) {
      const bool walks = slot.needs_hidden() || slot.needs_profile();
      EAQ_ASSIGN_OR_RETURN(
          surveys, SurveyLayers(slot, "survey", {walks ? hidden_ : std::vector<Matrix>(), domains_, entrance_}));
    }
    EAQ_ASSIGN_OR_RETURN(const AllocationProblem problem, AllocationProblem::Create(config, *in_.scheme));
    EAQ_ASSIGN_OR_RETURN(allocated_, slot.Allocate(problem, surveys));
    if (!slot.switching()) return absl::OkStatus();
    SurveyedSets known{DistinctNames(domains_), std::move(surveys)}, further;
    if (in_.further != nullptr && !in_.further->empty()) {
      Entrance at = Embed(*in_.further);
      further.names = DistinctNames(at.domains);
      EAQ_ASSIGN_OR_RETURN(further.surveys, SurveyLayers(slot, "further survey", std::move(at)));
    }
    EAQ_ASSIGN_OR_RETURN(switching_, slot.PlanSwitching(problem, known, further, allocated_));
    report_.analyses = std::move(switching_->analyses);
    switching_->analyses.Clear();
    return absl::OkStatus();
  }

  // What SLOT says of every layer in full precision, AT.hidden going through all of them (where there are any).
  absl::StatusOr<std::vector<std::vector<double>>> SurveyLayers(const AllocateSlot& slot, const std::string& stage,
                                                                Entrance at) {
    const ModelConfig& config = in_.source->config();
    std::vector<std::vector<double>> surveys;
    for (int l = 0; l < config.num_layers; ++l) {
      in_.progress->Update("survey layers", l, config.num_layers);
      EAQ_ASSIGN_OR_RETURN(LayerParams params, in_.source->LoadLayer(l));
      Fingerprint key("survey/v1");
      key.Add(salt_).Add(kNumericsVersion).Add(in_.source->hash()).Add(l).Add(at.fingerprint);
      key.Add(in_.scheme->SerializeAsString()).Add(in_.recipe->allocate().SerializeAsString()).Add(in_.seed);
      std::string hash;
      EAQ_ASSIGN_OR_RETURN(
          surveys.emplace_back(),
          Cached<std::vector<double>>(
              absl::StrCat(stage, "/L", l), key.Hex(),
              [&]() -> absl::StatusOr<std::vector<double>> {
                LayerProfile profile;
                if (slot.needs_profile()) {
                  EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, params));
                  EAQ_ASSIGN_OR_RETURN(
                      profile, ProfileLayer(*layer, at.hidden, {.second_moments = false, .ops = in_.ops}, *in_.pool));
                }
                LayerContext context = Context(profile);
                context.hidden = at.hidden;
                context.full_hidden = at.hidden;
                context.domains = at.domains;
                return slot.Survey(context, params);
              },
              NumbersBytes, ParseNumbers, &hash));
      if (!at.hidden.empty() && l + 1 < config.num_layers) {
        EAQ_RETURN_IF_ERROR(AdvanceFull(params, at.hidden, at.fingerprint));
      }
    }
    return surveys;
  }

  // PARAMS without the experts that the plan prunes.
  absl::Status Prune(LayerParams& params) const {
    EAQ_ASSIGN_OR_RETURN(std::vector<int32_t> kept, KeptExperts(allocated_, in_.source->config(), params.layer));
    if (!kept.empty()) params.routing = std::make_shared<const RoutingPolicy>(RoutingPolicy{std::move(kept), {}});
    return absl::OkStatus();
  }

  // Which layers drop experts of single tokens, from a walk through the full-precision model.
  absl::Status PlanDropping() {
    if (!in_.recipe->has_online_pruning()) return absl::OkStatus();
    const ModelConfig& config = in_.source->config();
    const OnlinePruning& options = in_.recipe->online_pruning();
    std::vector<Matrix> hidden = hidden_;
    std::map<int, DropMeasure> measures;
    for (int l = 0; l < config.num_layers; ++l) {
      in_.progress->Update("measure dropping", l, config.num_layers);
      EAQ_ASSIGN_OR_RETURN(const LayerParams original, in_.source->LoadLayer(l));
      LayerParams params = original;
      EAQ_RETURN_IF_ERROR(Prune(params));
      if (config.IsMoe(l)) {
        Fingerprint key("dropping/v1");
        key.Add(salt_).Add(kNumericsVersion).Add(in_.source->hash()).Add(l).Add(state_);
        key.Add(options.SerializeAsString()).Add(PolicyHash(params));
        std::string hash;
        EAQ_ASSIGN_OR_RETURN(const std::vector<double> numbers,
                             Cached<std::vector<double>>(
                                 absl::StrCat("dropping/L", l), key.Hex(),
                                 [&]() -> absl::StatusOr<std::vector<double>> {
                                   EAQ_ASSIGN_OR_RETURN(
                                       const DropMeasure m,
                                       MeasureDropping(config, params, hidden, options, *in_.ops, *in_.pool));
                                   return std::vector<double>{m.ratio, m.loss};
                                 },
                                 NumbersBytes, ParseNumbers, &hash));
        if (numbers.size() != 2) return absl::InternalError("a measure of dropping of other than 2 numbers");
        measures[l] = {numbers[0], numbers[1]};
      }
      if (l + 1 < config.num_layers) EAQ_RETURN_IF_ERROR(AdvanceFull(original, hidden, entrance_));
    }
    EAQ_ASSIGN_OR_RETURN(drops_, ChooseDropping(measures, options));
    return absl::OkStatus();
  }

  // Empty for a layer that keeps all of its experts.
  static std::string PolicyHash(const LayerParams& params) {
    if (params.routing == nullptr) return "";
    return Fingerprint("kept experts/v1").Add(absl::MakeConstSpan(params.routing->kept)).Hex();
  }

  absl::StatusOr<std::vector<std::vector<double>>> SurveyModel(const AllocateSlot& slot) {
    Fingerprint key("model survey/v1");
    key.Add(salt_).Add(kNumericsVersion).Add(in_.source->hash()).Add(state_);
    key.Add(in_.scheme->SerializeAsString()).Add(in_.recipe->allocate().SerializeAsString());
    std::string hash;
    return Cached<std::vector<std::vector<double>>>(
        "survey", key.Hex(),
        [&]() -> absl::StatusOr<std::vector<std::vector<double>>> {
          ModelContext context;
          context.source = in_.source;
          context.ends = in_.ends;
          context.scheme = &scheme_;
          context.calibration = *in_.calibration;
          context.ops = in_.ops;
          context.pool = in_.pool;
          context.progress = in_.progress;
          return slot.SurveyModel(context);
        },
        NumberListsBytes, ParseNumberLists, &hash);
  }

  // What the stages of the layer may look at. PROFILE must outlive it.
  LayerContext Context(const LayerProfile& profile) const {
    LayerContext context;
    context.config = &in_.source->config();
    context.scheme = &scheme_;
    context.profile = &profile;
    context.hidden = hidden_;
    context.full_hidden = full_hidden_;
    context.domains = domains_;
    context.router = slots_.router.get();
    context.activation = slots_.activation.get();
    context.ops = in_.ops;
    context.pool = in_.pool;
    context.seed = in_.seed;
    return context;
  }

  // What a stage may look at beyond weights and profile: the hidden states, the scheme, the seed and, with OTHER_SLOTS,
  // all that the router and the activations do, else how the router is quantized.
  void AddContext(bool other_slots, Fingerprint& key) const {
    key.Add(state_).Add(in_.seed).Add(in_.scheme->SerializeAsString());
    if (other_slots) {
      key.Add(in_.recipe->router().SerializeAsString()).Add(in_.recipe->activation().SerializeAsString());
    } else {
      AddGrid(slots_.router->weights(), key);
      AddGrid(slots_.router->activations(), key);
      key.Add(slots_.router->activation_clip_ratio());
    }
  }
  static void AddGrid(const GridSpec& grid, Fingerprint& key) {
    key.Add(grid.bits).Add(static_cast<int>(grid.kind)).Add(static_cast<int>(grid.granularity)).Add(grid.group_size);
  }

  absl::StatusOr<LayerProfile> Profile(const std::string& stage, const LayerParams& params,
                                       const std::string& params_hash, std::string* hash) {
    if (!uses_data_) return LayerProfile();
    Fingerprint key("profile/v1");
    key.Add(salt_).Add(kNumericsVersion).Add(state_).Add(params.layer).Add(params_hash);
    return Cached<LayerProfile>(
        stage, key.Hex(),
        [&]() -> absl::StatusOr<LayerProfile> {
          EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(in_.source->config(), params));
          return ProfileLayer(*layer, hidden_, {.ops = in_.ops}, *in_.pool);
        },
        ProfileBytes, ParseProfile, hash);
  }

  absl::Status Layer(int l, const LayerSink& sink) {
    const ModelConfig& config = in_.source->config();
    EAQ_ASSIGN_OR_RETURN(const LayerParams original, in_.source->LoadLayer(l));
    LayerParams params = original;
    EAQ_RETURN_IF_ERROR(Prune(params));
    std::string params_hash = PolicyHash(params), profile_hash;
    EAQ_ASSIGN_OR_RETURN(LayerProfile profile,
                         Profile(absl::StrCat("profile/L", l), params, params_hash, &profile_hash));
    for (size_t t = 0; t < slots_.transform.size(); ++t) {
      const std::string name = absl::StrCat("transform", t + 1, "/L", l);
      Fingerprint key("transform/v1");
      key.Add(salt_).Add(kNumericsVersion).Add(in_.source->hash()).Add(l).Add(params_hash).Add(profile_hash);
      key.Add(in_.recipe->transform(t).SerializeAsString());
      const TransformSlot& slot = *slots_.transform[t];
      if (slot.needs_hidden() || slot.needs_full_hidden()) AddContext(slot.runs_other_slots(), key);
      EAQ_ASSIGN_OR_RETURN(params, Cached<LayerParams>(
                                       name, key.Hex(),
                                       [&]() -> absl::StatusOr<LayerParams> {
                                         LayerParams edited = params;
                                         EAQ_RETURN_IF_ERROR(slot.Apply(Context(profile), edited));
                                         return edited;
                                       },
                                       ParamsBytes, ParseParams, &params_hash));
      EAQ_ASSIGN_OR_RETURN(profile, Profile(absl::StrCat("profile/", name), params, params_hash, &profile_hash));
    }
    EAQ_ASSIGN_OR_RETURN(const auto plan, PlanLayer(params, allocated_, slots_, scheme_));
    Fingerprint key("solve/v1");
    key.Add(salt_).Add(kNumericsVersion).Add(in_.source->hash()).Add(l).Add(params_hash).Add(profile_hash);
    key.Add(in_.recipe->solve().SerializeAsString()).Add(in_.recipe->router().SerializeAsString());
    if (slots_.solve->solves_whole_layers()) AddContext(true, key);
    if (slots_.router->needs_hidden()) {
      key.Add("router");
      AddContext(true, key);
    }
    for (const auto& [id, grid] : plan) {
      key.Add(id.ToString());
      AddGrid(grid, key);
    }
    std::string solved_hash;
    EAQ_ASSIGN_OR_RETURN(
        const SolvedLinears solved,
        Cached<SolvedLinears>(
            absl::StrCat("solve/L", l), key.Hex(), [&] { return SolveLayer(Context(profile), params, slots_, plan); },
            SolvedBytes, ParseSolved, &solved_hash));
    if (const auto drop = drops_.find(l); drop != drops_.end()) params.routing = WithDrop(params.routing, drop->second);
    EAQ_ASSIGN_OR_RETURN(QuantizedLayer quantized, AssembleLayer(config, params, profile, solved, slots_, scheme_,
                                                                 *in_.pool, switching_ ? &*switching_ : nullptr));
    for (LinearReport& linear : quantized.linears) report_.linears.push_back(std::move(linear));
    report_.size.Add(quantized.size);
    EAQ_RETURN_IF_ERROR(sink({l, quantized.layer.get(), &params, &solved, switching_ ? &*switching_ : nullptr,
                              &quantized.caches, quantized.states}));
    if (l + 1 < config.num_layers)
      return Advance(original, solved, params_hash, profile_hash, solved_hash, *quantized.without_dropping);
    return absl::OkStatus();
  }

  // The hidden states go through the layer; state_ names what they are now.
  absl::Status Advance(const LayerParams& original, const SolvedLinears& solved, const std::string& params_hash,
                       const std::string& profile_hash, const std::string& solved_hash, const DecoderLayer& quantized) {
    if (!uses_data_) return absl::OkStatus();
    const bool full = in_.recipe->propagate() == Recipe::FULL_PRECISION;
    if (full) {
      EAQ_RETURN_IF_ERROR(AdvanceFull(original, hidden_, entrance_));
      if (keeps_full_) full_hidden_ = hidden_;
    } else {
      const auto codes = [&](const LinearId& id) -> const QuantizedMatrix* {
        const auto at = solved.find(id);
        return at == solved.end() ? nullptr : &at->second.weight;
      };
      EAQ_RETURN_IF_ERROR(in_.ops->ForwardLayer(quantized, codes, absl::MakeSpan(hidden_), {}, *in_.pool));
      if (keeps_full_) EAQ_RETURN_IF_ERROR(AdvanceFull(original, full_hidden_, entrance_));
    }
    Fingerprint state("state/v1");
    state.Add(state_).Add(original.layer).Add(full);
    if (!full && switching_ && switching_->always_float16) {
      for (const auto& [id, rows] : switching_->rows) {
        if (id.layer == original.layer) state.Add(id.ToString()).Add(absl::MakeConstSpan(rows));
      }
    }
    if (!full) {
      state.Add(params_hash).Add(profile_hash).Add(solved_hash).Add(in_.recipe->activation().SerializeAsString());
      state.Add(in_.recipe->router().SerializeAsString()).Add(in_.scheme->activations().SerializeAsString());
      state.Add(in_.scheme->quantize_attention()).Add(in_.scheme->attention_operands().SerializeAsString());
    }
    state_ = state.Hex();
    return absl::OkStatus();
  }

  const PipelineInputs& in_;
  const RecipeSlots slots_;
  const LayerScheme scheme_;
  const std::string salt_;  // of every cache key: the program, and what its arithmetic runs on
  const bool uses_data_;
  const bool keeps_full_;
  std::vector<Matrix> hidden_;        // one a calibration window
  std::vector<Matrix> full_hidden_;   // of the full-precision model; empty unless keeps_full_
  std::vector<std::string> domains_;  // of the calibration windows
  BitPlan allocated_;                 // of the whole model
  std::optional<SwitchPlan> switching_;
  std::map<int, ExpertDrop> drops_;  // by layer, of those that drop experts at run time
  std::string entrance_, state_;     // fingerprints of hidden_, of all that made them: before the first layer, and now
  PipelineReport report_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const ModelSource>> WrapModel(const Recipe& recipe,
                                                             std::shared_ptr<const ModelSource> source) {
  EAQ_ASSIGN_OR_RETURN(const RecipeSlots slots, RecipeSlots::Make(recipe));
  bool layer_wise = false;
  for (const auto& transform : slots.transform) {
    EAQ_ASSIGN_OR_RETURN(const auto wrapped, transform->Wrap(source));
    if (wrapped == nullptr) {
      layer_wise = true;
      continue;
    }
    if (layer_wise) {
      return absl::InvalidArgumentError(
          absl::StrCat("recipe ", recipe.name(), ": a transform of the whole model stands after one of single layers; ",
                       "expected it first, since it changes what every layer reads"));
    }
    source = wrapped;
  }
  return source;
}

absl::StatusOr<PipelineReport> QuantizeModel(const PipelineInputs& inputs, const LayerSink& sink) {
  EAQ_ASSIGN_OR_RETURN(RecipeSlots slots, RecipeSlots::Make(*inputs.recipe));
  EAQ_ASSIGN_OR_RETURN(const LayerScheme scheme, LayerScheme::FromProto(*inputs.scheme));
  if (slots.calibration->uses_data() && inputs.calibration->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("recipe ", inputs.recipe->name(), " uses calibration data, but there is no calibration window"));
  }
  return Walk(inputs, std::move(slots), scheme).Run(sink);
}

}  // namespace eaq

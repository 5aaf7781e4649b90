#include "eaq/recipe/allocation_testing.h"

#include <google/protobuf/text_format.h>

#include <utility>

#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/layer.h"

namespace eaq {
namespace {

// A random model whose experts are of different sizes.
class Uneven : public ModelSource {
 public:
  explicit Uneven(const ModelConfig& config) : base_(RandomModel(config, 7)) {}
  const ModelConfig& config() const override { return base_->config(); }
  absl::StatusOr<LayerParams> LoadLayer(int layer) const override {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, base_->LoadLayer(layer));
    for (auto& [id, linear] : params.linears) {
      if (id.expert < 0) continue;
      for (int64_t i = 0; i < linear.weight.size(); ++i) {
        linear.weight.data()[i] *= 1 + 0.25f * static_cast<float>((3 * id.expert + layer) % 8);
      }
    }
    return params;
  }
  absl::StatusOr<OuterParams> LoadOuter() const override { return base_->LoadOuter(); }
  const std::string& hash() const override { return base_->hash(); }

 private:
  const std::shared_ptr<const ModelSource> base_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AllocateSlot>> MakeAllocator(const std::string& name, const std::string& options) {
  AllocateStage slot;
  const std::string text = name + " {" + options + "}";
  if (!google::protobuf::TextFormat::ParseFromString(text, &slot)) {
    return absl::InvalidArgumentError("slot allocate: " + text);
  }
  return MakeStage<AllocateSlot>(slot, "allocate");
}

ModelConfig TwoLayers(int experts) {
  ModelConfig config = TinyConfig();
  config.num_layers = 2;
  config.num_experts = experts;
  return config;
}

Scheme FourBits() {
  Scheme scheme;
  scheme.mutable_weights()->set_bits(4);
  return scheme;
}

ModelConfig SixteenExperts() {
  ModelConfig config = TinyConfig();
  config.num_layers = 4;
  config.num_experts = 16;
  config.hidden_size = 64;
  config.expert_width = 48;
  return config;
}

AllocatorRun::AllocatorRun(const ModelConfig& model, const std::string& allocate, double budget, Budget::Scope scope,
                           int threads)
    : config(model), source(std::make_shared<Uneven>(config)), pool(std::make_unique<ThreadPool>(threads)) {
  ends = std::make_unique<ModelEnds>(config, source->LoadOuter().value());
  Rng rng(4, "allocation_testing/windows");
  for (int w = 0; w < 3; ++w) {
    CalibrationWindow& window = windows.emplace_back();
    for (int t = 0; t < 40; ++t) window.window.ids.push_back(static_cast<int32_t>(rng.Below(config.vocab_size)));
  }
  Scheme asked = FourBits();
  if (budget > 0) {
    asked.mutable_budget()->set_stored_bits_per_weight(budget);
    asked.mutable_budget()->set_scope(scope);
  }
  AllocateStage slot;
  if (!google::protobuf::TextFormat::ParseFromString(allocate, &slot)) {
    status = absl::InvalidArgumentError("slot allocate: " + allocate);
    return;
  }
  const auto run = [&]() -> absl::Status {
    EAQ_ASSIGN_OR_RETURN(scheme, LayerScheme::FromProto(asked));
    EAQ_ASSIGN_OR_RETURN(problem, AllocationProblem::Create(config, asked));
    EAQ_ASSIGN_OR_RETURN(stage, MakeStage<AllocateSlot>(slot, "allocate"));
    hidden.emplace_back(windows.size());
    for (size_t w = 0; w < windows.size(); ++w) {
      hidden[0][w] = Matrix(windows[w].window.ids.size(), config.hidden_size);
      ends->Embed(windows[w].window.ids, hidden[0][w].view());
    }
    if (stage->surveys_model()) {
      EAQ_ASSIGN_OR_RETURN(surveys, stage->SurveyModel(Model()));
    }
    for (int l = 0; l < config.num_layers; ++l) {
      EAQ_ASSIGN_OR_RETURN(const LayerParams params, source->LoadLayer(l));
      EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, params));
      EAQ_ASSIGN_OR_RETURN(const LayerProfile profile, ProfileLayer(*layer, hidden[l], {}, *pool));
      LayerContext context;
      context.config = &config;
      context.scheme = &scheme;
      context.profile = &profile;
      context.hidden = hidden[l];
      context.pool = pool.get();
      if (stage->surveys()) {
        EAQ_ASSIGN_OR_RETURN(surveys.emplace_back(), stage->Survey(context, params));
      }
      std::vector<Matrix>& next = hidden.emplace_back(hidden[l]);
      for (Matrix& h : next) layer->Forward(h.view());
    }
    EAQ_ASSIGN_OR_RETURN(plan, stage->Allocate(problem, surveys));
    return absl::OkStatus();
  };
  status = run();
}

ModelContext AllocatorRun::Model() {
  ModelContext context;
  context.source = source.get();
  context.ends = ends.get();
  context.scheme = &scheme;
  context.calibration = windows;
  context.pool = pool.get();
  context.progress = &progress;
  return context;
}

}  // namespace eaq

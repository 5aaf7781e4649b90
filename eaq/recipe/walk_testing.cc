#include "eaq/recipe/walk_testing.h"

#include <google/protobuf/text_format.h>

#include <memory>
#include <utility>

#include "eaq/base/progress.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/layer.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/quantized_linear.h"

namespace eaq {
namespace {

class Watcher : public LayerObserver {
 public:
  void OnRouter(int, ConstMatrixView, absl::Span<const int32_t>, absl::Span<const float> w) override {
    weights.assign(w.begin(), w.end());
  }
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t>) override {
    if (id.role == Role::kGate) reads[id.expert] += x.rows;
  }
  std::map<int, int64_t> reads;
  std::vector<float> weights;
};

std::vector<int32_t> Tokens(const ModelConfig& config, Rng& rng) {
  std::vector<int32_t> ids;
  for (int t = 0; t < 48; ++t) ids.push_back(static_cast<int32_t>(rng.Below(config.vocab_size)));
  return ids;
}

}  // namespace

PipelineInputs WalkTools::Inputs(const ModelSource& source, const ModelEnds& ends, const Recipe& recipe,
                                 const Scheme& scheme, const std::vector<CalibrationWindow>& calibration) {
  PipelineInputs in;
  in.source = &source;
  in.ends = &ends;
  in.recipe = &recipe;
  in.scheme = &scheme;
  in.calibration = &calibration;
  in.cache = &cache;
  in.pool = &pool;
  in.progress = &progress;
  return in;
}

WalkRun::WalkRun(const ModelConfig& model, const std::string& recipe_text, const Scheme& scheme, int threads,
                 const std::string& cache_folder)
    : config(model) {
  const auto source = RandomModel(config, 3);
  const ModelEnds ends(config, source->LoadOuter().value());
  Rng rng(5, "walk_testing/windows");
  std::vector<CalibrationWindow> windows(4);
  for (CalibrationWindow& w : windows) w.window.ids = Tokens(config, rng);
  const std::vector<int32_t> probe = Tokens(config, rng);
  in = Matrix(probe.size(), config.hidden_size);
  ends.Embed(probe, in.view());
  out = in;
  Recipe recipe;
  if (!google::protobuf::TextFormat::ParseFromString(recipe_text, &recipe)) {
    status = absl::InvalidArgumentError("recipe: " + recipe_text);
    return;
  }
  if (recipe.calibration().has_none()) windows.clear();
  WalkTools tools(threads, cache_folder);
  const PipelineInputs inputs = tools.Inputs(*source, ends, recipe, scheme, windows);
  const auto result = QuantizeModel(inputs, [&](const FinishedLayer& layer) {
    Watcher watcher;
    layer.quantized->Forward(out.view(), &watcher);
    reads.push_back(watcher.reads);
    weights.push_back(watcher.weights);
    params.push_back(*layer.params);
    if (layer.params->routing != nullptr) packed.routing[layer.index] = *layer.params->routing;
    solved.emplace_back();
    for (const auto& [id, linear] : *layer.solved) {
      solved.back()[id] = linear.weight;
      EAQ_ASSIGN_OR_RETURN(packed.linears[id.ToString()], Pack(linear.weight));
      packed.SetOnline(id.ToString(), layer.params->linears.at(id).online);
    }
    return absl::OkStatus();
  });
  status = result.status();
  if (result.ok()) report = *result;
}

Matrix WalkRun::FromFile(const std::string& path) const {
  if (const absl::Status written = WritePackedModel(path, packed); !written.ok()) std::abort();
  const PackedModel file = ReadPackedModel(path).value();
  Matrix hidden = in;
  for (const LayerParams& layer : params) {
    LayerParams norms = layer;
    const auto routing = file.routing.find(layer.layer);
    norms.routing = routing == file.routing.end() ? nullptr : std::make_shared<const RoutingPolicy>(routing->second);
    DecoderLayer::Linears linears;
    for (const auto& [id, linear] : layer.linears) {
      const auto stored = file.linears.find(id.ToString());
      if (stored != file.linears.end()) {
        linears[id] = PackedLinear::Create(stored->second, linear.bias, {}, file.OnlineOf(id.ToString())).value();
      } else {
        linears[id] =
            std::make_shared<FakeQuantLinear>(linear.weight, linear.bias, ActivationQuantizer(), linear.online);
      }
    }
    DecoderLayer::Create(config, norms, std::move(linears)).value()->Forward(hidden.view());
  }
  return hidden;
}

const LinearReport& WalkRun::Report(const std::string& linear) const {
  for (const LinearReport& r : report.linears) {
    if (r.id() == linear) return r;
  }
  std::abort();
}

}  // namespace eaq

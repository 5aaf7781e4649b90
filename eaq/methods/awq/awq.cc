// Slot 2: AWQ's scale search. README.md has the equations.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/awq/search.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/affinity.h"
#include "eaq/recipe/layer_inputs.h"
#include "eaq/recipe/plain_input.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

// Linears that read the same rows through one norm.
struct NormSet {
  std::vector<LinearId> rounded;  // those that the scheme quantizes: the search rounds them
  std::vector<LinearId> along;    // those scaled along: router, gate of a shared expert
};

NormSet AttentionSet(int layer) { return {{{layer, Role::kQ}, {layer, Role::kK}, {layer, Role::kV}}, {}}; }
NormSet FeedForwardSet(const LayerParams& params) {
  NormSet set;
  for (const auto& [id, linear] : params.linears) {
    switch (id.role) {
      case Role::kGate:
      case Role::kUp:
      case Role::kSharedGate:
      case Role::kSharedUp:
        set.rounded.push_back(id);
        break;
      case Role::kRouter:
      case Role::kSharedExpertGate:
        set.along.push_back(id);
        break;
      default:
        break;
    }
  }
  return set;
}

// The attention alone, as a layer whose feed-forward is one hidden channel of zeros: x -> x + Attention(RMSNorm(x)).
struct Module {
  ModelConfig config;
  LayerParams params;
};
Module AttentionModule(const ModelConfig& config, const LayerParams& layer) {
  Module m{config, {}};
  m.config.num_experts = 0;
  m.config.dense_layers.clear();
  m.config.dense_width = 1;
  m.params.layer = layer.layer;
  m.params.input_norm = layer.input_norm;
  m.params.q_norm = layer.q_norm;
  m.params.k_norm = layer.k_norm;
  m.params.qk_hadamard = layer.qk_hadamard;
  m.params.post_norm.assign(config.hidden_size, 1.0f);
  for (const Role role : {Role::kQ, Role::kK, Role::kV, Role::kO})
    m.params.linears[{layer.layer, role}] = layer.linears.at({layer.layer, role});
  m.params.linears[{layer.layer, Role::kGate}].weight = Matrix(1, config.hidden_size);
  m.params.linears[{layer.layer, Role::kUp}].weight = Matrix(1, config.hidden_size);
  m.params.linears[{layer.layer, Role::kDown}].weight = Matrix(config.hidden_size, 1);
  return m;
}
// The feed-forward alone, after an attention of one small head of zeros: x -> x + FeedForward(RMSNorm(x)).
Module FeedForwardModule(const ModelConfig& config, const LayerParams& layer) {
  Module m{config, layer};
  m.config.num_heads = m.config.num_kv_heads = 1;
  m.config.head_dim = 2;
  m.config.qk_norm = QkNorm::kNone;
  m.params.q_norm.clear();
  m.params.k_norm.clear();
  m.params.qk_hadamard = 0;
  for (const Role role : {Role::kQ, Role::kK, Role::kV, Role::kO}) {
    LinearParams& zeros = m.params.linears[{layer.layer, role}];
    zeros = {};
    zeros.weight = role == Role::kO ? Matrix(config.hidden_size, 2) : Matrix(2, config.hidden_size);
  }
  return m;
}

// The windows after MODULE.
absl::StatusOr<std::vector<Matrix>> RunModule(const Module& module, absl::Span<const Matrix> inputs, ThreadPool& pool) {
  EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(module.config, module.params));
  std::vector<Matrix> outputs(inputs.begin(), inputs.end());
  pool.ParallelFor(outputs.size(), [&](int64_t w) { layer->Forward(outputs[w].view()); });
  return outputs;
}

double MeanSquaredDifference(const std::vector<Matrix>& a, const std::vector<Matrix>& b) {
  double sum = 0, count = 0;
  for (size_t w = 0; w < a.size(); ++w) {
    for (int64_t i = 0; i < a[w].size(); ++i) {
      const double d = double{a[w].data()[i]} - b[w].data()[i];
      sum += d * d;
    }
    count += a[w].size();
  }
  return sum / std::max(count, 1.0);
}

class AwqTransform : public TransformSlot {
 public:
  AwqTransform(const Awq& options, int affinity_power) : options_(options), power_(affinity_power) {}
  bool needs_hidden() const override { return true; }
  bool runs_other_slots() const override { return false; }

  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    if (!context.scheme->weights.quantized()) return absl::OkStatus();
    const int l = params.layer;
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
    const NormSet attention = AttentionSet(l), feed_forward = FeedForwardSet(params);
    const LinearId ff_owner = context.config->IsMoe(l) ? LinearId{l, Role::kRouter} : LinearId{l, Role::kGate};
    const std::vector<Pair> pairs = Pairs(context, params);
    std::vector<LinearId> wanted = {{l, Role::kQ}, ff_owner};
    for (const Pair& pair : pairs) wanted.push_back(pair.reader);
    for (const std::vector<LinearId>* ids : std::initializer_list<const std::vector<LinearId>*>{
             &wanted, &attention.rounded, &feed_forward.rounded, &feed_forward.along}) {
      for (const LinearId& id : *ids) {
        EAQ_RETURN_IF_ERROR(RequirePlainInput(
            params, id, "awq",
            "expected it before that transform (after quarot: awq { value_output: false up_down: false })"));
      }
    }
    EAQ_ASSIGN_OR_RETURN(const auto inputs, CollectInputs(*layer, context.hidden, wanted, *context.ops, *context.pool));

    // All searches look at the layer as it came; then all scales are folded.
    const Module attention_module = AttentionModule(*context.config, params);
    std::vector<float> attention_scales;
    if (context.scheme->attention) {
      EAQ_ASSIGN_OR_RETURN(attention_scales,
                           SearchNorm(context, attention, attention_module, context.hidden, inputs.at({l, Role::kQ})));
    }
    EAQ_ASSIGN_OR_RETURN(const std::vector<Matrix> middle, RunModule(attention_module, context.hidden, *context.pool));
    EAQ_ASSIGN_OR_RETURN(
        const std::vector<float> feed_forward_scales,
        SearchNorm(context, feed_forward, FeedForwardModule(*context.config, params), middle, inputs.at(ff_owner)));
    std::vector<LinearId> readers;
    for (const Pair& pair : pairs) readers.push_back(pair.reader);
    std::map<LinearId, std::vector<float>> affinities;  // the feed-forward's own search sees them in its output
    if (power_ > 0) {
      EAQ_ASSIGN_OR_RETURN(affinities,
                           CollectAffinities(*layer, context.hidden, readers, power_, *context.ops, *context.pool));
    }
    std::vector<absl::StatusOr<std::vector<float>>> pair_scales(pairs.size(), absl::UnknownError("not searched"));
    context.pool->ParallelFor(pairs.size(), [&](int64_t i) {
      const LinearId& reader = pairs[i].reader;
      const auto weights = affinities.find(reader);
      pair_scales[i] = SearchPair(context, params.linears.at(reader).weight, inputs.at(reader),
                                  weights == affinities.end() ? absl::Span<const float>() : weights->second);
    });
    for (size_t i = 0; i < pairs.size(); ++i) {
      EAQ_RETURN_IF_ERROR(Annotate(pair_scales[i].status(), pairs[i].reader.ToString()));
    }

    if (!attention_scales.empty()) FoldIntoNorm(attention_scales, attention, params.input_norm, params);
    FoldIntoNorm(feed_forward_scales, feed_forward, params.post_norm, params);
    for (size_t i = 0; i < pairs.size(); ++i) FoldIntoWriter(*pair_scales[i], pairs[i], params);
    return absl::OkStatus();
  }

 private:
  struct Pair {
    LinearId writer, reader;  // each output channel of the writer feeds one input channel of the reader, linearly
  };

  std::vector<Pair> Pairs(const LayerContext& context, const LayerParams& params) const {
    const int l = params.layer;
    std::vector<Pair> pairs;
    const LinearId v{l, Role::kV}, o{l, Role::kO};
    // Clipped values do not scale.
    if (options_.value_output() && context.scheme->attention && !context.config->clip_qkv &&
        params.linears.at(v).weight.rows() == params.linears.at(o).weight.cols()) {
      pairs.push_back({v, o});
    }
    for (const auto& [id, linear] : params.linears) {
      if (!options_.up_down()) break;
      if (id.role == Role::kUp) pairs.push_back({id, {l, Role::kDown, id.expert}});
      if (id.role == Role::kSharedUp) pairs.push_back({id, {l, Role::kSharedDown}});
    }
    return pairs;
  }

  // The ratios in rising order; ERROR gives that of scales. The first of the smallest errors wins.
  template <typename Error>
  absl::StatusOr<std::vector<float>> Search(const Matrix& x, absl::Span<const Matrix* const> weights,
                                            const GridSpec& grid, const Error& error) const {
    if (x.rows() == 0) return std::vector<float>(x.cols(), 1.0f);  // nothing to judge by
    const std::vector<double> input_means = MeanMagnitudes(x);
    std::vector<double> weight_means;
    if (options_.scales() == Awq::DUO) weight_means = MeanRelativeWeights(weights, grid);
    std::vector<float> best;
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < options_.steps(); ++i) {
      std::vector<float> scales = AwqScales(input_means, weight_means, static_cast<double>(i) / options_.steps());
      EAQ_ASSIGN_OR_RETURN(const double found, error(scales));
      if (!(found < least)) continue;
      least = found;
      best = std::move(scales);
    }
    if (best.empty()) {
      return absl::DataLossError("awq: no scales have a finite output error; the model overflows on calibration text");
    }
    return best;
  }

  // MODULE: what is inspected; INPUTS: its windows; X: the rows that the linears of SET read.
  absl::StatusOr<std::vector<float>> SearchNorm(const LayerContext& context, const NormSet& set, const Module& module,
                                                absl::Span<const Matrix> inputs, const Matrix& x) const {
    std::vector<const Matrix*> weights;
    for (const LinearId& id : set.rounded) weights.push_back(&module.params.linears.at(id).weight);
    EAQ_ASSIGN_OR_RETURN(const std::vector<Matrix> expected, RunModule(module, inputs, *context.pool));
    const GridSpec& grid = context.scheme->weights;
    Module trial = module;
    return Search(x, weights, grid, [&](const std::vector<float>& scales) -> absl::StatusOr<double> {
      std::vector<absl::Status> status(weights.size());
      context.pool->ParallelFor(weights.size(), [&](int64_t i) {
        absl::StatusOr<Matrix> rounded = RoundScaled(*weights[i], scales, grid, *context.ops);
        status[i] = Annotate(rounded.status(), set.rounded[i].ToString());
        if (rounded.ok()) trial.params.linears.at(set.rounded[i]).weight = *std::move(rounded);
      });
      for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);
      EAQ_ASSIGN_OR_RETURN(const std::vector<Matrix> found, RunModule(trial, inputs, *context.pool));
      return MeanSquaredDifference(expected, found);
    });
  }

  absl::StatusOr<std::vector<float>> SearchPair(const LayerContext& context, const Matrix& weight, const Matrix& x,
                                                absl::Span<const float> affinities) const {
    const GridSpec& grid = context.scheme->weights;
    const Matrix* const weights[] = {&weight};
    return Search(x, weights, grid, [&](const std::vector<float>& scales) -> absl::StatusOr<double> {
      EAQ_ASSIGN_OR_RETURN(const Matrix rounded, RoundScaled(weight, scales, grid, *context.ops));
      return OutputError(x, weight, rounded, affinities, *context.ops);
    });
  }

  static void ScaleColumns(const std::vector<float>& scales, Matrix& w) {
    for (int64_t r = 0; r < w.rows(); ++r)
      for (int64_t c = 0; c < w.cols(); ++c) w(r, c) *= scales[c];
  }
  static void FoldIntoNorm(const std::vector<float>& scales, const NormSet& set, std::vector<float>& norm,
                           LayerParams& params) {
    for (size_t c = 0; c < norm.size(); ++c) norm[c] /= scales[c];
    for (const auto* ids : {&set.rounded, &set.along})
      for (const LinearId& id : *ids) ScaleColumns(scales, params.linears.at(id).weight);
  }
  static void FoldIntoWriter(const std::vector<float>& scales, const Pair& pair, LayerParams& params) {
    LinearParams& writer = params.linears.at(pair.writer);
    for (int64_t r = 0; r < writer.weight.rows(); ++r) {
      for (int64_t c = 0; c < writer.weight.cols(); ++c) writer.weight(r, c) /= scales[r];
      if (!writer.bias.empty()) writer.bias[r] /= scales[r];
    }
    ScaleColumns(scales, params.linears.at(pair.reader).weight);
  }

  const Awq options_;
  const int power_;  // of the affinity; 0: all tokens count alike
};

EAQ_REGISTER_STAGE(TransformSlot, Awq, [](const Awq& options) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
  if (options.steps() < 1 || options.steps() > 1000) {
    return absl::InvalidArgumentError(absl::StrCat("awq.steps is ", options.steps(), ", expected 1 .. 1000"));
  }
  int power = 0;
  if (options.has_affinity()) {
    EAQ_ASSIGN_OR_RETURN(power, AffinityPower(options.affinity()));
  }
  return std::make_unique<AwqTransform>(options, power);
});

}  // namespace
}  // namespace eaq

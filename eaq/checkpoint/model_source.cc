#include "eaq/checkpoint/model_source.h"

#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/checkpoint/config_json.h"
#include "eaq/checkpoint/tensor_names.h"
#include "eaq/model/linear_shapes.h"

namespace eaq {
namespace {

// Buffers that older writers stored although they follow from the configuration.
bool IsIgnorable(const std::string& name) { return name.find("rotary_emb.inv_freq") != std::string::npos; }

// Where the weight of ID lies in this checkpoint: the published name when there is such a tensor, else the fused place
// when that one exists, else the published name (which Check then reports as missing).
WeightPlace Place(const ModelConfig& config, const TensorStore& store, const LinearId& id, int64_t out, int64_t in) {
  WeightPlace published{WeightName(config, id), {out, in}, 0};
  if (store.Has(published.name)) return published;
  WeightPlace fused = FusedPlace(config, id, out, in);
  return store.Has(fused.name) ? fused : published;
}

struct NamedVector {
  std::string name;
  int64_t size;
  std::vector<float> LayerParams::*field;
};

std::vector<NamedVector> NormVectors(const ModelConfig& config, int layer) {
  const std::string prefix = LayerPrefix(layer);
  std::vector<NamedVector> norms = {
      {prefix + "input_layernorm.weight", config.hidden_size, &LayerParams::input_norm},
      {prefix + "post_attention_layernorm.weight", config.hidden_size, &LayerParams::post_norm}};
  if (config.qk_norm != QkNorm::kNone) {
    norms.push_back({prefix + "self_attn.q_norm.weight", QNormSize(config), &LayerParams::q_norm});
    norms.push_back({prefix + "self_attn.k_norm.weight", KNormSize(config), &LayerParams::k_norm});
  }
  return norms;
}

std::string ConfigText(const ModelConfig& c) {
  std::string text =
      absl::StrCat(c.model_type, " vocab ", c.vocab_size, " hidden ", c.hidden_size, " layers ", c.num_layers,
                   " heads ", c.num_heads, " kv ", c.num_kv_heads, " dim ", c.head_dim, " experts ", c.num_experts,
                   " top ", c.experts_per_token, " width ", c.expert_width, " dense ", c.dense_width, " shared ",
                   c.shared_width, " gated ", c.shared_expert_gated, " norm_topk ", c.norm_topk_prob, " score ",
                   static_cast<int>(c.router_score), " qk ", static_cast<int>(c.qk_norm), " bias ", c.attention_bias,
                   c.attention_output_bias, " tied ", c.tie_word_embeddings);
  absl::StrAppend(&text, " window ", c.sliding_window, " dense_layers");
  for (const int64_t layer : c.dense_layers) absl::StrAppend(&text, " ", layer);
  return text;
}

}  // namespace

struct CheckpointSource::HashState {
  std::once_flag once;
  std::string hash;
};

absl::StatusOr<std::shared_ptr<const CheckpointSource>> CheckpointSource::Open(const std::string& folder) {
  std::shared_ptr<CheckpointSource> source(new CheckpointSource);
  const std::string config_path = JoinPath(folder, "config.json");
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(config_path));
  absl::StatusOr<ModelConfig> config = ParseConfigJson(text);
  if (!config.ok()) return Annotate(config.status(), config_path);
  source->config_ = *std::move(config);
  EAQ_ASSIGN_OR_RETURN(source->store_, TensorStore::Open(folder));
  EAQ_RETURN_IF_ERROR(source->CheckTensors());
  source->hash_state_ = std::make_shared<HashState>();
  return std::shared_ptr<const CheckpointSource>(std::move(source));
}

absl::Status CheckpointSource::CheckTensors() {
  std::set<std::string> used;
  const auto check = [&](const std::string& name, const std::vector<int64_t>& shape) {
    used.insert(name);
    return store_.Check(name, shape);
  };
  EAQ_RETURN_IF_ERROR(check(kEmbeddingName, {config_.vocab_size, config_.hidden_size}));
  EAQ_RETURN_IF_ERROR(check(kFinalNormName, {config_.hidden_size}));
  if (!config_.tie_word_embeddings) {
    EAQ_RETURN_IF_ERROR(check(kHeadName, {config_.vocab_size, config_.hidden_size}));
  } else {
    used.insert(kHeadName);  // some writers store the tied head as well
  }
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    for (const NamedVector& norm : NormVectors(config_, layer)) EAQ_RETURN_IF_ERROR(check(norm.name, {norm.size}));
    for (const auto& [id, shape] : LinearShapes(config_, layer)) {
      const WeightPlace place = Place(config_, store_, id, shape.first, shape.second);
      EAQ_RETURN_IF_ERROR(check(place.name, place.shape));
      if (HasBias(config_, id.role)) EAQ_RETURN_IF_ERROR(check(BiasName(config_, id), {shape.first}));
    }
  }
  for (const auto& [name, entry] : store_.tensors())
    if (!used.contains(name) && !IsIgnorable(name)) unused_.push_back(name);
  return absl::OkStatus();
}

absl::StatusOr<LayerParams> CheckpointSource::LoadLayer(int layer) const {
  if (layer < 0 || layer >= config_.num_layers) {
    return absl::OutOfRangeError(
        absl::StrCat(store_.folder(), ": layer ", layer, " asked for; the model has ", config_.num_layers));
  }
  LayerParams params;
  params.layer = layer;
  for (const NamedVector& norm : NormVectors(config_, layer)) {
    std::vector<float>& values = params.*norm.field;
    values.resize(norm.size);
    EAQ_RETURN_IF_ERROR(store_.Read(norm.name, 0, absl::MakeSpan(values)));
  }
  for (const auto& [id, shape] : LinearShapes(config_, layer)) {
    LinearParams& linear = params.linears[id];
    linear.weight = Matrix(shape.first, shape.second);
    const WeightPlace place = Place(config_, store_, id, shape.first, shape.second);
    EAQ_RETURN_IF_ERROR(
        store_.Read(place.name, place.offset, absl::MakeSpan(linear.weight.data(), linear.weight.size())));
    if (!HasBias(config_, id.role)) continue;
    linear.bias.resize(shape.first);
    EAQ_RETURN_IF_ERROR(store_.Read(BiasName(config_, id), 0, absl::MakeSpan(linear.bias)));
  }
  return params;
}

absl::StatusOr<OuterParams> CheckpointSource::LoadOuter() const {
  OuterParams outer;
  outer.embedding = Matrix(config_.vocab_size, config_.hidden_size);
  EAQ_RETURN_IF_ERROR(store_.Read(kEmbeddingName, 0, absl::MakeSpan(outer.embedding.data(), outer.embedding.size())));
  outer.final_norm.resize(config_.hidden_size);
  EAQ_RETURN_IF_ERROR(store_.Read(kFinalNormName, 0, absl::MakeSpan(outer.final_norm)));
  if (config_.tie_word_embeddings) return outer;
  outer.head = Matrix(config_.vocab_size, config_.hidden_size);
  EAQ_RETURN_IF_ERROR(store_.Read(kHeadName, 0, absl::MakeSpan(outer.head.data(), outer.head.size())));
  return outer;
}

const std::string& CheckpointSource::hash() const {
  std::call_once(hash_state_->once, [&] {
    Fingerprint fingerprint("model/v1");
    fingerprint.Add(ConfigText(config_)).Add(config_.rms_norm_eps).Add(config_.rope_theta).Add(config_.routed_scaling);
    fingerprint.Add(config_.clip_qkv.has_value()).Add(config_.clip_qkv.value_or(0.0));
    const Llama3Rope rope = config_.llama3_rope.value_or(Llama3Rope{});
    fingerprint.Add(config_.llama3_rope.has_value()).Add(rope.factor).Add(rope.low_freq_factor);
    fingerprint.Add(rope.high_freq_factor).Add(rope.original_max_position_embeddings);
    for (const auto& [name, entry] : store_.tensors()) {
      fingerprint.Add(name).Add(DTypeName(entry.info.dtype)).Add(static_cast<int64_t>(entry.info.shape.size()));
      for (const int64_t d : entry.info.shape) fingerprint.Add(d);
      fingerprint.Add(entry.file->Bytes(entry.info));
    }
    hash_state_->hash = fingerprint.Hex();
  });
  return hash_state_->hash;
}

absl::StatusOr<std::shared_ptr<const ModelSource>> OpenModel(const std::string& folder) {
  EAQ_ASSIGN_OR_RETURN(std::shared_ptr<const CheckpointSource> source, CheckpointSource::Open(folder));
  return std::shared_ptr<const ModelSource>(std::move(source));
}

}  // namespace eaq

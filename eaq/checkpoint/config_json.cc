#include "eaq/checkpoint/config_json.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 24;  // of any single dimension; with kMaxExperts no product of an
constexpr int64_t kMaxExperts = 4096;           // expert tensor overflows 63 bits
constexpr int64_t kMaxLayers = 10000;

// Typed access to the keys of one object. The first error sticks and is returned by status().
class Reader {
 public:
  Reader(const Json& json, std::vector<std::string>* defaulted) : json_(json), defaulted_(defaulted) {}
  const absl::Status& status() const { return status_; }
  bool Has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  // A positive integer; FALLBACK 0 means that the key is required.
  int64_t Size(const char* key, int64_t fallback = 0, int64_t least = 1) {
    if (!Has(key)) {
      if (fallback == 0) return Fail(absl::StrCat("\"", key, "\" is missing"));
      Default(key, absl::StrCat(fallback));
      return fallback;
    }
    const Json& value = json_[key];
    if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > kMaxSize) ||
        value.get<int64_t>() < least || value.get<int64_t>() > kMaxSize) {
      return Fail(absl::StrCat("\"", key, "\" is ", Short(value), "; expected an integer from ", least, " to 2^24"));
    }
    return value.get<int64_t>();
  }

  double Positive(const char* key, double fallback) {
    if (!Has(key)) {
      Default(key, absl::StrCat(fallback));
      return fallback;
    }
    const Json& value = json_[key];
    if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>())) {
      Fail(absl::StrCat("\"", key, "\" is ", Short(value), "; expected a positive number"));
      return fallback;
    }
    return value.get<double>();
  }

  bool Bool(const char* key, bool fallback) {
    if (!Has(key)) {
      Default(key, fallback ? "true" : "false");
      return fallback;
    }
    if (!json_[key].is_boolean()) {
      Fail(absl::StrCat("\"", key, "\" is ", Short(json_[key]), "; expected true or false"));
      return fallback;
    }
    return json_[key].get<bool>();
  }

  int64_t Fail(absl::string_view message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(message);
    return 1;
  }
  void Unsupported(absl::string_view message) {
    if (status_.ok()) status_ = absl::UnimplementedError(message);
  }
  static std::string Short(const Json& value) { return value.dump(-1, ' ', true).substr(0, 60); }
  const Json& json() const { return json_; }

 private:
  void Default(const char* key, const std::string& value) { defaulted_->push_back(absl::StrCat(key, "=", value)); }

  const Json& json_;
  std::vector<std::string>* defaulted_;
  absl::Status status_;
};

void ReadRope(Reader& r, double default_theta, ModelConfig* c) {
  const Json* scaling = nullptr;
  if (r.Has("rope_parameters")) {
    const Json& rope = r.json()["rope_parameters"];
    if (!rope.is_object()) {
      r.Fail("\"rope_parameters\" is not an object");
      return;
    }
    scaling = &rope;
  } else if (r.Has("rope_scaling")) {
    scaling = &r.json()["rope_scaling"];
    if (!scaling->is_object()) {
      r.Fail("\"rope_scaling\" is not an object");
      return;
    }
  }
  if (scaling != nullptr && scaling->contains("rope_theta")) {
    Reader inner(*scaling, &c->defaulted);
    c->rope_theta = inner.Positive("rope_theta", default_theta);
    if (!inner.status().ok()) r.Fail(inner.status().message());
  } else {
    c->rope_theta = r.Positive("rope_theta", default_theta);
  }
  if (scaling == nullptr) return;
  const char* key = scaling->contains("rope_type") ? "rope_type" : "type";
  const Json type = scaling->contains(key) ? (*scaling)[key] : Json("default");
  if (type == "default") return;
  if (type != "llama3") {
    r.Unsupported(absl::StrCat("rotary scaling of type ", Reader::Short(type),
                               " is not supported; supported are \"default\" and \"llama3\""));
    return;
  }
  Reader inner(*scaling, &c->defaulted);
  Llama3Rope rope;
  rope.factor = inner.Positive("factor", 8.0);
  rope.low_freq_factor = inner.Positive("low_freq_factor", 1.0);
  rope.high_freq_factor = inner.Positive("high_freq_factor", 4.0);
  rope.original_max_position_embeddings = inner.Size("original_max_position_embeddings", 8192);
  if (rope.high_freq_factor <= rope.low_freq_factor) inner.Fail("high_freq_factor must exceed low_freq_factor");
  if (!inner.status().ok()) r.Fail(absl::StrCat("rope scaling: ", inner.status().message()));
  c->llama3_rope = rope;
}

// Qwen: which layers of a mixture model are dense.
void ReadSparsity(Reader& r, ModelConfig* c) {
  const int64_t step = r.Size("decoder_sparse_step", 1);
  std::vector<int64_t> dense;
  if (r.Has("mlp_only_layers")) {
    const Json& list = r.json()["mlp_only_layers"];
    if (!list.is_array()) r.Fail("\"mlp_only_layers\" is not an array");
    for (const Json& layer : list) {
      if (!layer.is_number_integer()) {
        r.Fail("\"mlp_only_layers\" holds something that is not an integer");
        return;
      }
      const int64_t index = layer.get<int64_t>();
      if (index >= 0 && index < c->num_layers) dense.push_back(index);
    }
  }
  if (step > 1)
    for (int64_t layer = 0; layer < c->num_layers; ++layer)
      if ((layer + 1) % step != 0) dense.push_back(layer);
  std::sort(dense.begin(), dense.end());
  dense.erase(std::unique(dense.begin(), dense.end()), dense.end());
  c->dense_layers = dense;
  if (!dense.empty()) c->dense_width = r.Size("intermediate_size");
}

// What distinguishes the families; the keys they share are read by the caller.
void ReadFamily(Reader& r, ModelConfig* c) {
  const std::string& family = c->model_type;
  if (family == "olmoe") {
    c->num_experts = r.Size("num_experts", 64);
    c->experts_per_token = r.Size("num_experts_per_tok", 8);
    c->expert_width = r.Size("intermediate_size");
    c->norm_topk_prob = r.Bool("norm_topk_prob", false);
    c->qk_norm = QkNorm::kFullWidth;
    if (r.Has("clip_qkv")) c->clip_qkv = r.Positive("clip_qkv", 1.0);
    c->attention_bias = c->attention_output_bias = r.Bool("attention_bias", false);
  } else if (family == "mixtral") {
    c->num_experts = r.Size("num_local_experts", 8);
    c->experts_per_token = r.Size("num_experts_per_tok", 2);
    c->expert_width = r.Size("intermediate_size");
    c->norm_topk_prob = true;
    if (r.Has("sliding_window")) c->sliding_window = r.Size("sliding_window");
  } else if (family == "qwen2_moe" || family == "qwen3_moe") {
    c->num_experts = r.Size("num_experts", family == "qwen2_moe" ? 60 : 128);
    c->experts_per_token = r.Size("num_experts_per_tok", family == "qwen2_moe" ? 4 : 8);
    c->expert_width = r.Size("moe_intermediate_size");
    c->norm_topk_prob = r.Bool("norm_topk_prob", false);
    ReadSparsity(r, c);
    if (family == "qwen2_moe") {
      c->shared_width = r.Size("shared_expert_intermediate_size");
      c->attention_bias = r.Bool("qkv_bias", true);
    } else {
      c->qk_norm = QkNorm::kPerHead;
      c->attention_bias = c->attention_output_bias = r.Bool("attention_bias", false);
    }
    if (r.Has("use_sliding_window") && r.Bool("use_sliding_window", false)) {
      r.Unsupported("\"use_sliding_window\": true is not supported for the Qwen families (layers would differ)");
    }
  } else if (family == "deepseek") {
    c->num_experts = r.Size("n_routed_experts");
    c->experts_per_token = r.Size("num_experts_per_tok");
    c->expert_width = r.Size("moe_intermediate_size");
    c->norm_topk_prob = r.Bool("norm_topk_prob", false);
    c->attention_bias = c->attention_output_bias = r.Bool("attention_bias", false);
    // The shared experts are stored as one of their joint width, added without a gate.
    if (r.Has("n_shared_experts")) c->shared_width = r.Size("n_shared_experts") * c->expert_width;
    c->shared_expert_gated = false;
    const int64_t first = r.Has("first_k_dense_replace") ? r.Size("first_k_dense_replace", 0, 0) : 0,
                  every = r.Size("moe_layer_freq", 1);
    for (int64_t layer = 0; layer < c->num_layers && layer <= kMaxLayers; ++layer)
      if (layer < first || layer % every != 0) c->dense_layers.push_back(layer);
    if (!c->dense_layers.empty()) c->dense_width = r.Size("intermediate_size");
    if (r.Has("scoring_func") && r.json()["scoring_func"] != "softmax") {
      r.Unsupported(absl::StrCat("\"scoring_func\" is ", Reader::Short(r.json()["scoring_func"]),
                                 "; supported for deepseek is \"softmax\""));
    }
  } else {  // llama
    c->dense_width = r.Size("intermediate_size");
    c->attention_bias = c->attention_output_bias = r.Bool("attention_bias", false);
    if (r.Has("mlp_bias") && r.Bool("mlp_bias", false)) r.Unsupported("\"mlp_bias\": true is not supported");
  }
}

}  // namespace

absl::StatusOr<ModelConfig> ParseConfigJson(absl::string_view text) {
  EAQ_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  if (!json.is_object()) return absl::InvalidArgumentError("expected a JSON object");
  ModelConfig c;
  Reader r(json, &c.defaulted);
  if (!r.Has("model_type") || !json["model_type"].is_string())
    return absl::InvalidArgumentError("\"model_type\" is missing or not a string");
  c.model_type = json["model_type"].get<std::string>();
  const std::vector<std::string> known = {"olmoe", "mixtral", "qwen2_moe", "qwen3_moe", "deepseek", "llama"};
  if (std::find(known.begin(), known.end(), c.model_type) == known.end()) {
    return absl::UnimplementedError(absl::StrCat("model_type \"", c.model_type.substr(0, 60),
                                                 "\" is not supported; supported are olmoe, mixtral, qwen2_moe, "
                                                 "qwen3_moe, deepseek and llama"));
  }
  if (r.Has("hidden_act") && json["hidden_act"] != "silu")
    r.Unsupported(absl::StrCat("\"hidden_act\" is ", Reader::Short(json["hidden_act"]), "; supported is \"silu\""));
  c.vocab_size = r.Size("vocab_size");
  c.hidden_size = r.Size("hidden_size");
  c.num_layers = r.Size("num_hidden_layers");
  c.num_heads = r.Size("num_attention_heads");
  c.num_kv_heads = r.Size("num_key_value_heads", c.model_type == "mixtral" ? 8 : c.num_heads);
  if (r.Has("head_dim")) {
    c.head_dim = r.Size("head_dim");
  } else {
    c.head_dim = c.hidden_size / c.num_heads;
    if (r.status().ok() && c.hidden_size % c.num_heads != 0) {
      r.Fail(absl::StrCat("\"hidden_size\" ", c.hidden_size, " is not a multiple of \"num_attention_heads\" ",
                          c.num_heads, " and \"head_dim\" is not given"));
    }
  }
  const bool qwen = c.model_type == "qwen2_moe" || c.model_type == "qwen3_moe";
  c.rms_norm_eps =
      r.Positive("rms_norm_eps", qwen || c.model_type == "llama" || c.model_type == "deepseek" ? 1e-6 : 1e-5);
  ReadRope(r, c.model_type == "mixtral" ? 1e6 : 1e4, &c);
  c.tie_word_embeddings = r.Bool("tie_word_embeddings", false);
  c.max_position_embeddings = r.Size("max_position_embeddings", 4096);
  ReadFamily(r, &c);
  EAQ_RETURN_IF_ERROR(r.status());
  if (c.num_layers > kMaxLayers) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"num_hidden_layers\" is ", c.num_layers, "; at most ", kMaxLayers));
  }
  if (c.num_experts > kMaxExperts)
    return absl::InvalidArgumentError(
        absl::StrCat("the number of experts is ", c.num_experts, "; at most ", kMaxExperts));
  if (c.head_dim % 2 != 0)
    return absl::InvalidArgumentError(absl::StrCat("the head dimension ", c.head_dim, " is odd; rotation needs pairs"));
  if (c.num_heads % c.num_kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat("\"num_attention_heads\" ", c.num_heads,
                                                   " is not a multiple of \"num_key_value_heads\" ", c.num_kv_heads));
  }
  if (c.num_experts > 0 && c.experts_per_token > c.num_experts) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"num_experts_per_tok\" ", c.experts_per_token, " exceeds the ", c.num_experts, " experts"));
  }
  if (c.num_heads * c.head_dim > kMaxSize) return absl::InvalidArgumentError("heads times head dimension exceed 2^24");
  return c;
}

absl::StatusOr<std::string> WriteConfigJson(const ModelConfig& c, absl::string_view dtype) {
  // What all families name alike.
  Json json = {{"attention_dropout", 0.0},
               {"bos_token_id", nullptr},
               {"eos_token_id", nullptr},
               {"hidden_act", "silu"},
               {"hidden_size", c.hidden_size},
               {"max_position_embeddings", c.max_position_embeddings},
               {"model_type", c.model_type},
               {"num_attention_heads", c.num_heads},
               {"num_experts_per_tok", c.experts_per_token},
               {"num_hidden_layers", c.num_layers},
               {"num_key_value_heads", c.num_kv_heads},
               {"pad_token_id", nullptr},
               {"rms_norm_eps", c.rms_norm_eps},
               {"rope_theta", c.rope_theta},
               {"tie_word_embeddings", c.tie_word_embeddings},
               {"torch_dtype", std::string(dtype)},
               {"vocab_size", c.vocab_size}};
  if (c.model_type == "olmoe") {
    json.update({{"architectures", {"OlmoeForCausalLM"}},
                 {"attention_bias", c.attention_bias},
                 {"clip_qkv", nullptr},
                 {"intermediate_size", c.expert_width},
                 {"norm_topk_prob", c.norm_topk_prob},
                 {"num_experts", c.num_experts},
                 {"rope_scaling", nullptr}});
    if (c.clip_qkv) json["clip_qkv"] = *c.clip_qkv;
  } else if (c.model_type == "mixtral") {
    json.update({{"architectures", {"MixtralForCausalLM"}},
                 {"intermediate_size", c.expert_width},
                 {"num_local_experts", c.num_experts},
                 {"sliding_window", nullptr}});
    if (c.sliding_window > 0) json["sliding_window"] = c.sliding_window;
  } else if (c.model_type == "deepseek" && c.shared_width % c.expert_width == 0) {
    json.update({{"architectures", {"DeepseekForCausalLM"}},
                 {"attention_bias", c.attention_bias},
                 {"first_k_dense_replace", c.dense_layers.size()},
                 {"intermediate_size", c.dense_width},
                 {"moe_intermediate_size", c.expert_width},
                 {"moe_layer_freq", 1},
                 {"n_routed_experts", c.num_experts},
                 {"n_shared_experts", nullptr},
                 {"norm_topk_prob", c.norm_topk_prob},
                 {"rope_scaling", nullptr},
                 {"scoring_func", "softmax"}});
    if (c.shared_width > 0) json["n_shared_experts"] = c.shared_width / c.expert_width;
  } else {
    return absl::UnimplementedError(absl::StrCat("writing a checkpoint of model_type \"", c.model_type,
                                                 "\" is not supported; supported are olmoe, mixtral and deepseek"));
  }
  return json.dump(2) + "\n";
}

}  // namespace eaq

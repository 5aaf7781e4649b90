#include "eaq/checkpoint/save_model.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/checkpoint/config_json.h"
#include "eaq/checkpoint/safetensors_writer.h"
#include "eaq/checkpoint/tensor_names.h"
#include "eaq/model/linear_shapes.h"

namespace eaq {

absl::Status SaveModel(const std::string& folder, const ModelConfig& config, absl::Span<const LayerParams> layers,
                       const OuterParams& outer, DType dtype) {
  if (dtype != DType::kF32 && dtype != DType::kBF16)
    return absl::InvalidArgumentError(
        absl::StrCat("weights cannot be stored as ", DTypeName(dtype), "; use F32 or BF16"));
  EAQ_ASSIGN_OR_RETURN(const std::string json, WriteConfigJson(config, dtype == DType::kF32 ? "float32" : "bfloat16"));
  if (static_cast<int64_t>(layers.size()) != config.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("expected ", config.num_layers, " layers, found ", layers.size()));
  }
  SafetensorsWriter writer;
  writer.SetMetadata("format", "pt");
  const auto matrix = [&](const std::string& name, const Matrix& m, int64_t rows, int64_t cols) {
    if (m.rows() != rows || m.cols() != cols) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\": expected [", rows, ", ", cols,
                                                     "], found [", m.rows(), ", ", m.cols(), "]"));
    }
    return writer.Add(name, dtype, {rows, cols}, m.values());
  };
  const auto vector = [&](const std::string& name, const std::vector<float>& values, int64_t size) {
    return writer.Add(name, dtype, {size}, values);
  };
  EAQ_RETURN_IF_ERROR(matrix(kEmbeddingName, outer.embedding, config.vocab_size, config.hidden_size));
  EAQ_RETURN_IF_ERROR(vector(kFinalNormName, outer.final_norm, config.hidden_size));
  if (!config.tie_word_embeddings)
    EAQ_RETURN_IF_ERROR(matrix(kHeadName, outer.head, config.vocab_size, config.hidden_size));
  for (int l = 0; l < config.num_layers; ++l) {
    const LayerParams& layer = layers[l];
    const std::string prefix = LayerPrefix(l);
    EAQ_RETURN_IF_ERROR(vector(prefix + "input_layernorm.weight", layer.input_norm, config.hidden_size));
    EAQ_RETURN_IF_ERROR(vector(prefix + "post_attention_layernorm.weight", layer.post_norm, config.hidden_size));
    if (config.qk_norm != QkNorm::kNone) {
      EAQ_RETURN_IF_ERROR(vector(prefix + "self_attn.q_norm.weight", layer.q_norm, QNormSize(config)));
      EAQ_RETURN_IF_ERROR(vector(prefix + "self_attn.k_norm.weight", layer.k_norm, KNormSize(config)));
    }
    for (const auto& [id, shape] : LinearShapes(config, l)) {
      const auto it = layer.linears.find(id);
      if (it == layer.linears.end())
        return absl::InvalidArgumentError(absl::StrCat("linear ", id.ToString(), " is missing"));
      EAQ_RETURN_IF_ERROR(matrix(WeightName(config, id), it->second.weight, shape.first, shape.second));
      if (HasBias(config, id.role)) EAQ_RETURN_IF_ERROR(vector(BiasName(config, id), it->second.bias, shape.first));
    }
  }
  EAQ_RETURN_IF_ERROR(MakeDirectories(folder));
  EAQ_RETURN_IF_ERROR(writer.Write(JoinPath(folder, "model.safetensors")));
  return WriteFileAtomic(JoinPath(folder, "config.json"), json);
}

}  // namespace eaq

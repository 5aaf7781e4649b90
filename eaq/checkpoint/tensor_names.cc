#include "eaq/checkpoint/tensor_names.h"

#include "absl/strings/str_cat.h"

namespace eaq {
namespace {

// The name of the projection inside its module, without ".weight".
std::string Stem(const ModelConfig& config, const LinearId& id, bool fused) {
  const bool mixtral = config.model_type == "mixtral" && !fused;
  const std::string prefix = LayerPrefix(id.layer);
  const std::string mlp = prefix + (mixtral ? "block_sparse_moe." : "mlp.");
  const std::string shared = mlp + (config.model_type == "deepseek" ? "shared_experts." : "shared_expert.");
  const std::string expert = id.expert < 0 ? mlp : absl::StrCat(mlp, "experts.", id.expert, ".");
  switch (id.role) {
    case Role::kQ:
      return prefix + "self_attn.q_proj";
    case Role::kK:
      return prefix + "self_attn.k_proj";
    case Role::kV:
      return prefix + "self_attn.v_proj";
    case Role::kO:
      return prefix + "self_attn.o_proj";
    case Role::kRouter:
      return mlp + "gate";
    case Role::kGate:
      return expert + (mixtral ? "w1" : "gate_proj");
    case Role::kUp:
      return expert + (mixtral ? "w3" : "up_proj");
    case Role::kDown:
      return expert + (mixtral ? "w2" : "down_proj");
    case Role::kSharedGate:
      return shared + "gate_proj";
    case Role::kSharedUp:
      return shared + "up_proj";
    case Role::kSharedDown:
      return shared + "down_proj";
    case Role::kSharedExpertGate:
      return mlp + "shared_expert_gate";
  }
  return "";
}

}  // namespace

std::string LayerPrefix(int layer) { return absl::StrCat("model.layers.", layer, "."); }

std::string WeightName(const ModelConfig& config, const LinearId& id) { return Stem(config, id, false) + ".weight"; }
std::string BiasName(const ModelConfig& config, const LinearId& id) { return Stem(config, id, false) + ".bias"; }

WeightPlace FusedPlace(const ModelConfig& config, const LinearId& id, int64_t out, int64_t in) {
  if (id.expert < 0) return {Stem(config, id, true) + ".weight", {out, in}, 0};
  const std::string experts = LayerPrefix(id.layer) + "mlp.experts.";
  if (id.role == Role::kDown) return {experts + "down_proj", {config.num_experts, out, in}, id.expert * out * in};
  const int64_t half = id.role == Role::kUp ? 1 : 0;
  return {experts + "gate_up_proj", {config.num_experts, 2 * out, in}, (2 * id.expert + half) * out * in};
}

}  // namespace eaq

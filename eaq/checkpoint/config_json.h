// Hugging Face's config.json -> ModelConfig, for the families whose mathematics this runtime has:
// olmoe, mixtral, qwen2_moe, qwen3_moe, deepseek (v1), llama.
#ifndef EAQ_CHECKPOINT_CONFIG_JSON_H_
#define EAQ_CHECKPOINT_CONFIG_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/model/config.h"

namespace eaq {

// Accepts the keys of transformers 4 and 5 (rope_parameters, dtype, rope_scaling with `type` or `rope_type`). A key
// that is absent gets the default of the family's class in transformers and is listed in ModelConfig::defaulted.
// InvalidArgument or Unimplemented, with key, expected and found value: an unknown model_type, a missing or impossible
// size, an activation other than silu, a rotary scaling other than `default` and `llama3`.
absl::StatusOr<ModelConfig> ParseConfigJson(absl::string_view text);

// The config.json that ParseConfigJson reads back to the same configuration (OLMoE family only; for SaveModel).
// DTYPE is "float32" or "bfloat16".
absl::StatusOr<std::string> WriteConfigJson(const ModelConfig& config, absl::string_view dtype);

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_CONFIG_JSON_H_

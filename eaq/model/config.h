// ModelConfig: what a decoder is made of, read from Hugging Face's config.json by checkpoint/.
//
// One configuration describes every family; a family differs by values and by small parts (router score function,
// norm placement), not by code paths of its own.
#ifndef EAQ_MODEL_CONFIG_H_
#define EAQ_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace eaq {

enum class QkNorm { kNone, kFullWidth, kPerHead };
enum class RouterScore { kSoftmax, kSigmoid };

struct ModelConfig {
  std::string model_type;  // "olmoe", "mixtral", ...
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t num_experts = 0;        // 0: dense feed-forward
  int64_t experts_per_token = 0;  // top-k
  int64_t expert_width = 0;       // intermediate size of a routed expert
  int64_t dense_width = 0;        // intermediate size of a dense feed-forward
  int64_t shared_width = 0;       // 0: no shared expert
  bool norm_topk_prob = false;    // renormalise the chosen weights to sum 1
  RouterScore router_score = RouterScore::kSoftmax;
  double routed_scaling = 1.0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  QkNorm qk_norm = QkNorm::kNone;
  std::optional<double> clip_qkv;
  bool attention_bias = false;  // biases on q, k, v
  bool tie_word_embeddings = false;
  int64_t sliding_window = 0;  // 0: none; w shows query i the keys j with 0 <= i - j < w
  int64_t max_position_embeddings = 0;
  std::vector<std::string> defaulted;  // keys absent from config.json, "key=value used"
};

}  // namespace eaq

#endif  // EAQ_MODEL_CONFIG_H_

// ModelConfig: what a decoder is made of, read from Hugging Face's config.json by checkpoint/.
//
// One configuration describes every family; a family differs by values and by small parts (router score function,
// norm placement), not by code paths of its own.
#ifndef EAQ_MODEL_CONFIG_H_
#define EAQ_MODEL_CONFIG_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace eaq {

enum class QkNorm { kNone, kFullWidth, kPerHead };
enum class RouterScore { kSoftmax, kSigmoid };

// Llama 3's stretching of low rotary frequencies (transformers, `rope_type: llama3`).
struct Llama3Rope {
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_position_embeddings = 8192;
  friend bool operator==(const Llama3Rope&, const Llama3Rope&) = default;
};

struct ModelConfig {
  std::string model_type;  // "olmoe", "mixtral", ...
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t num_experts = 0;            // 0: dense feed-forward
  int64_t experts_per_token = 0;      // top-k
  int64_t expert_width = 0;           // intermediate size of a routed expert
  int64_t dense_width = 0;            // intermediate size of a dense feed-forward
  std::vector<int64_t> dense_layers;  // layers of a mixture model whose feed-forward is dense all the same; sorted
  int64_t shared_width = 0;           // 0: no shared expert
  bool shared_expert_gated = true;    // Qwen2-MoE: the shared expert's output times sigmoid of a linear
  bool norm_topk_prob = false;        // renormalise the chosen weights to sum 1
  RouterScore router_score = RouterScore::kSoftmax;
  double routed_scaling = 1.0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  std::optional<Llama3Rope> llama3_rope;
  QkNorm qk_norm = QkNorm::kNone;
  std::optional<double> clip_qkv;
  bool attention_bias = false;         // biases on q, k, v
  bool attention_output_bias = false;  // and on o
  bool tie_word_embeddings = false;
  int64_t sliding_window = 0;  // 0: none; w shows query i the keys j with 0 <= i - j < w
  int64_t max_position_embeddings = 0;
  std::vector<std::string> defaulted;  // keys absent from config.json, "key=value used"

  // Whether layer LAYER routes to experts (otherwise its feed-forward is one dense SwiGLU of dense_width).
  bool IsMoe(int64_t layer) const {
    return num_experts > 0 && !std::binary_search(dense_layers.begin(), dense_layers.end(), layer);
  }
};

}  // namespace eaq

#endif  // EAQ_MODEL_CONFIG_H_

#include "eaq/model/synthetic.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/model/linear_shapes.h"

namespace eaq {
namespace {

Matrix RandomMatrix(int64_t rows, int64_t cols, double scale, uint64_t seed, const std::string& stream) {
  Matrix m(rows, cols);
  Rng rng(seed, stream);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(scale * rng.Normal());
  return m;
}

std::vector<float> RandomNorm(int64_t size, uint64_t seed, const std::string& stream) {
  std::vector<float> v(size);
  Rng rng(seed, stream);
  for (float& x : v) x = static_cast<float>(1.0 + 0.1 * rng.Normal());
  return v;
}

class RandomSource : public ModelSource {
 public:
  RandomSource(const ModelConfig& config, uint64_t seed)
      : config_(config), seed_(seed), hash_(absl::StrCat("random model, seed ", seed)) {}
  const ModelConfig& config() const override { return config_; }
  absl::StatusOr<LayerParams> LoadLayer(int layer) const override { return RandomLayer(config_, layer, seed_); }
  absl::StatusOr<OuterParams> LoadOuter() const override { return RandomOuter(config_, seed_); }
  const std::string& hash() const override { return hash_; }

 private:
  ModelConfig config_;
  uint64_t seed_;
  std::string hash_;
};

}  // namespace

ModelConfig TinyConfig() {
  ModelConfig c;
  c.model_type = "olmoe";
  c.vocab_size = 96;
  c.hidden_size = 32;
  c.num_layers = 2;
  c.num_heads = c.num_kv_heads = 4;
  c.head_dim = 8;
  c.num_experts = 8;
  c.experts_per_token = 2;
  c.expert_width = 24;
  c.qk_norm = QkNorm::kFullWidth;
  c.max_position_embeddings = 4096;
  return c;
}

LayerParams RandomLayer(const ModelConfig& config, int layer, uint64_t seed) {
  const auto stream = [&](absl::string_view what) { return absl::StrCat("synthetic/L", layer, "/", what); };
  LayerParams params;
  params.layer = layer;
  params.input_norm = RandomNorm(config.hidden_size, seed, stream("input_norm"));
  params.post_norm = RandomNorm(config.hidden_size, seed, stream("post_norm"));
  params.q_norm = RandomNorm(QNormSize(config), seed, stream("q_norm"));
  params.k_norm = RandomNorm(KNormSize(config), seed, stream("k_norm"));
  for (const auto& [id, shape] : LinearShapes(config, layer)) {
    LinearParams& linear = params.linears[id];
    linear.weight =
        RandomMatrix(shape.first, shape.second, 1 / std::sqrt(static_cast<double>(shape.second)), seed, id.ToString());
    if (HasBias(config, id.role)) {
      const Matrix bias = RandomMatrix(1, shape.first, 0.1, seed, absl::StrCat(id.ToString(), ".bias"));
      linear.bias.assign(bias.data(), bias.data() + bias.size());
    }
  }
  return params;
}

OuterParams RandomOuter(const ModelConfig& config, uint64_t seed) {
  OuterParams outer;
  outer.embedding = RandomMatrix(config.vocab_size, config.hidden_size, 1.0, seed, "synthetic/embedding");
  outer.final_norm = RandomNorm(config.hidden_size, seed, "synthetic/final_norm");
  if (!config.tie_word_embeddings) {
    outer.head = RandomMatrix(config.vocab_size, config.hidden_size,
                              2 / std::sqrt(static_cast<double>(config.hidden_size)), seed, "synthetic/head");
  }
  return outer;
}

std::shared_ptr<const ModelSource> RandomModel(const ModelConfig& config, uint64_t seed) {
  return std::make_shared<RandomSource>(config, seed);
}

}  // namespace eaq

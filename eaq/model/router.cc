#include "eaq/model/router.h"

#include <cmath>

#include "kernels/backend.h"

namespace eaq {

void Route(const ModelConfig& config, ConstMatrixView logits, Routing* routing) {
  const int64_t n = logits.rows, k = config.experts_per_token, experts = logits.cols;
  routing->experts.resize(n * k);
  routing->weights.resize(n * k);
  std::vector<float> scores(experts);
  for (int64_t t = 0; t < n; ++t) {
    const float* row = logits.row(t);
    if (config.router_score == RouterScore::kSoftmax) {
      kernels::SoftmaxRows(row, experts, scores.data(), experts, 1, experts);
    } else {
      for (int64_t e = 0; e < experts; ++e) scores[e] = 1.0f / (1.0f + std::exp(-row[e]));
    }
    int32_t* chosen = routing->experts.data() + t * k;
    float* weights = routing->weights.data() + t * k;
    kernels::TopK(scores.data(), experts, k, chosen);
    float sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += weights[i] = scores[chosen[i]];
    const float scale = static_cast<float>(config.routed_scaling) / (config.norm_topk_prob && sum > 0 ? sum : 1.0f);
    for (int64_t i = 0; i < k; ++i) weights[i] *= scale;
  }
}

}  // namespace eaq

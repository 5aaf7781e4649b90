#include "eaq/model/router.h"

#include <cmath>

#include "kernels/backend.h"

namespace eaq {

void Route(const ModelConfig& config, ConstMatrixView logits, Routing* routing, absl::Span<const int32_t> kept) {
  const int64_t n = logits.rows, k = config.experts_per_token;
  const int64_t experts = kept.empty() ? logits.cols : static_cast<int64_t>(kept.size());
  routing->experts.resize(n * k);
  routing->weights.resize(n * k);
  std::vector<float> scores(experts), left(kept.size());
  for (int64_t t = 0; t < n; ++t) {
    const float* row = logits.row(t);
    if (!kept.empty()) {
      for (int64_t e = 0; e < experts; ++e) left[e] = row[kept[e]];
      row = left.data();
    }
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
    if (kept.empty()) continue;
    for (int64_t i = 0; i < k; ++i) chosen[i] = kept[chosen[i]];
  }
}

void DropExperts(const ExpertDrop& drop, int64_t k, absl::Span<const uint8_t> keep_all, Routing* routing) {
  const int64_t n = static_cast<int64_t>(routing->weights.size()) / k;
  for (int64_t t = 0; t < n; ++t) {
    if (!keep_all.empty() && keep_all[t] != 0) continue;
    float* weights = routing->weights.data() + t * k;
    const float least = drop.ratio * weights[0];
    float all = weights[0], left = weights[0];
    for (int64_t i = 1; i < k; ++i) {
      all += weights[i];
      if (weights[i] < least) {
        weights[i] = 0;
      } else {
        left += weights[i];
      }
    }
    if (left == all || !(left > 0)) continue;
    for (int64_t i = 0; i < k; ++i) weights[i] *= all / left;
  }
}

}  // namespace eaq

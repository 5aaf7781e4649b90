#include "eaq/methods/seer_moe/expert_counts.h"

#include <algorithm>
#include <cmath>

namespace eaq::seer_moe {
namespace {

class Counter : public LayerObserver {
 public:
  Counter(const ModelConfig& config, bool soft) : counts(config.num_experts, 0.0), config_(config), soft_(soft) {}
  void OnRouter(int, ConstMatrixView logits, absl::Span<const int32_t> experts, absl::Span<const float>) override {
    if (!soft_) {
      for (const int32_t e : experts) ++counts[e];
      return;
    }
    std::vector<double> scores(logits.cols);
    for (int64_t t = 0; t < logits.rows; ++t) {
      const float* row = logits.row(t);
      const double most = *std::max_element(row, row + logits.cols);
      double sum = 0;
      for (int64_t e = 0; e < logits.cols; ++e) {
        const double z = row[e];
        sum += scores[e] = config_.router_score == RouterScore::kSoftmax ? std::exp(z - most) : 1 / (1 + std::exp(-z));
      }
      for (int64_t e = 0; e < logits.cols; ++e) counts[e] += scores[e] / sum;
    }
  }
  std::vector<double> counts;

 private:
  const ModelConfig& config_;
  const bool soft_;
};

}  // namespace

std::vector<double> CountExperts(const ModelConfig& config, const DecoderLayer& layer, absl::Span<const Matrix> hidden,
                                 bool soft, ThreadPool& pool) {
  std::vector<Counter> windows(hidden.size(), Counter(config, soft));
  pool.ParallelFor(hidden.size(), [&](int64_t w) {
    Matrix h = hidden[w];
    layer.Forward(h.view(), &windows[w]);
  });
  std::vector<double> counts(config.num_experts, 0.0);
  for (const Counter& window : windows) {
    for (size_t e = 0; e < counts.size(); ++e) counts[e] += window.counts[e];
  }
  return counts;
}

}  // namespace eaq::seer_moe

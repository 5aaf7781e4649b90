#include "eaq/methods/eaquant/expert_statistics.h"

#include <algorithm>
#include <cmath>

#include "kernels/backend.h"

namespace eaq::eaquant {
namespace {

bool IsDown(Role role) { return role == Role::kDown || role == Role::kSharedDown; }

// One window.
class Watcher : public LayerObserver {
 public:
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t>) override {
    if (!IsDown(id.role) || x.rows == 0) return;
    ChannelExtremes& e = extremes_[id];
    e.max.assign(x.row(0), x.row(0) + x.cols);
    e.min = e.max;
    for (int64_t r = 1; r < x.rows; ++r) {
      for (int64_t c = 0; c < x.cols; ++c) {
        e.max[c] = std::max<double>(e.max[c], x(r, c));
        e.min[c] = std::min<double>(e.min[c], x(r, c));
      }
    }
  }
  void OnRouter(int, ConstMatrixView logits, absl::Span<const int32_t>, absl::Span<const float>) override {
    probability_.assign(logits.cols, 0.0);
    tokens_ = logits.rows;
    for (int64_t r = 0; r < logits.rows; ++r) {
      const double log_sum = kernels::LogSumExp(logits.row(r), logits.cols);
      for (int64_t c = 0; c < logits.cols; ++c) probability_[c] += std::exp(logits(r, c) - log_sum);
    }
  }
  const std::map<LinearId, ChannelExtremes>& extremes() const { return extremes_; }
  const std::vector<double>& probability() const { return probability_; }
  int64_t tokens() const { return tokens_; }

 private:
  std::map<LinearId, ChannelExtremes> extremes_;
  std::vector<double> probability_;  // summed over the window
  int64_t tokens_ = 0;
};

void Blend(const std::vector<double>& now, std::vector<double>& past) {
  for (size_t c = 0; c < past.size(); ++c) past[c] = 0.9 * past[c] + 0.1 * now[c];
}

}  // namespace

ExpertStatistics CollectExpertStatistics(const DecoderLayer& layer, absl::Span<const Matrix> hidden, ThreadPool& pool) {
  std::vector<Watcher> windows(hidden.size());
  pool.ParallelFor(hidden.size(), [&](int64_t w) {
    Matrix state = hidden[w];
    layer.Forward(state.view(), &windows[w]);
  });
  ExpertStatistics statistics;
  for (const auto& [id, linear] : layer.linears())
    if (IsDown(id.role)) statistics.down.emplace(id, ChannelExtremes());
  int64_t tokens = 0;
  for (const Watcher& window : windows) {
    for (const auto& [id, now] : window.extremes()) {
      ChannelExtremes& past = statistics.down.at(id);
      if (past.max.empty()) {
        past = now;
        continue;
      }
      Blend(now.max, past.max);
      Blend(now.min, past.min);
    }
    tokens += window.tokens();
    statistics.mean_probability.resize(window.probability().size(), 0.0);
    for (size_t e = 0; e < window.probability().size(); ++e) statistics.mean_probability[e] += window.probability()[e];
  }
  for (double& p : statistics.mean_probability) p /= static_cast<double>(std::max<int64_t>(tokens, 1));
  return statistics;
}

}  // namespace eaq::eaquant

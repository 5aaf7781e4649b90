#include "eaq/train/gradients.h"

#include <algorithm>

#include "eaq/train/products.h"

namespace eaq {
namespace {

constexpr int64_t kHeadRows = 1024;  // of logits in memory at a time

}  // namespace

template <typename T>
Gradients<T>::Gradients(const ParameterLayout& layout, int64_t windows, int64_t context)
    : layout_(layout),
      t_(context),
      d_(layout.config.hidden_size),
      v_(layout.config.vocab_size),
      e_(layout.config.num_experts),
      k_(layout.config.experts_per_token),
      attention_(layout.config, windows, context),
      feed_forward_(layout.config, windows * context) {
  const int64_t n = windows * context;
  for (const ParameterLayout::Layer& layer : layout.layers) {
    LayerState s{Buffer<T>(n * d_), Buffer<T>(n * d_), attention_.NewState(), feed_forward_.NewState(layer)};
    layers_.push_back(std::move(s));
    if (layer.router >= 0) ++mixtures_;
  }
  for (auto* v : {&xf_, &hf_, &dx_, &dh_}) v->resize(n * d_);
  rf_.resize(n), logits_.resize(kHeadRows * v_);
}

// Sum of -log p over all tokens; leaves the gradient of the last hidden states in dh_.
template <typename T>
double Gradients<T>::Head(const T* params, const std::vector<const uint16_t*>& windows, T scale, T* gradient) {
  double total = 0;
  for (int64_t r0 = 0; r0 < n_; r0 += kHeadRows) {
    const int64_t m = std::min<int64_t>(kHeadRows, n_ - r0);
    train::Linear(&hf_[r0 * d_], params + layout_.embedding, logits_.data(), m, v_, d_);
    for (int64_t i = 0; i < m; ++i) {
      const int64_t row = r0 + i, target = windows[row / t_][row % t_ + 1];
      T* p = &logits_[i * v_];
      const double logit = p[target];
      total += static_cast<double>(train::Softmax(p, v_, scale)) - logit;
      p[target] -= scale;
    }
    if (gradient != nullptr)
      train::LinearBackward(logits_.data(), &hf_[r0 * d_], params + layout_.embedding, &dh_[r0 * d_],
                            gradient + layout_.embedding, m, v_, d_);
  }
  return total;
}

template <typename T>
LossParts Gradients<T>::LossAndGradients(const T* params, const std::vector<const uint16_t*>& windows,
                                         const LossOptions& options, T* gradient) {
  n_ = static_cast<int64_t>(windows.size()) * t_;
  const int64_t depth = layers_.size();
  use_.clear();
  for (int64_t i = 0; i < n_; ++i)
    std::copy_n(params + layout_.embedding + windows[i / t_][i % t_] * d_, d_, &layers_[0].x[i * d_]);
  LossParts parts;
  for (int64_t l = 0; l < depth; ++l) {
    LayerState& s = layers_[l];
    const ParameterLayout::Layer& o = layout_.layers[l];
    attention_.Forward(params, o, n_, s.x.data(), s.attention, s.middle.data());
    feed_forward_.Forward(params, o, n_, s.middle.data(), s.feed_forward,
                          l + 1 < depth ? layers_[l + 1].x.data() : xf_.data());
    if (o.router < 0) continue;
    const auto& f = s.feed_forward;
    for (int64_t e = 0; e < e_; ++e) {
      double mean = 0;
      for (int64_t i = 0; i < n_; ++i) mean += f.prob[i * e_ + e];
      use_.push_back(f.begin[e + 1] - f.begin[e]);
      parts.balance += e_ * (mean / n_) * use_.back() / static_cast<double>(n_ * k_) / mixtures_;
    }
    for (int64_t i = 0; i < n_; ++i) parts.z += static_cast<double>(f.lse[i]) * f.lse[i] / n_ / mixtures_;
  }
  train::RmsNorm(xf_.data(), d_, params + layout_.final_norm, static_cast<T>(layout_.config.rms_norm_eps), hf_.data(),
                 d_, rf_.data(), n_, d_);
  parts.nll = Head(params, windows, static_cast<T>(options.scale / n_), gradient) / n_;
  if (gradient == nullptr) return parts;

  train::RmsNormBackward(xf_.data(), d_, params + layout_.final_norm, rf_.data(), dh_.data(), d_, dx_.data(), d_, false,
                         gradient + layout_.final_norm, n_, d_);
  const double per_token = options.scale / (static_cast<double>(n_) * mixtures_);
  for (int64_t l = depth - 1; l >= 0; --l) {
    const LayerState& s = layers_[l];
    const ParameterLayout::Layer& o = layout_.layers[l];
    feed_forward_.Backward(params, o, n_, s.middle.data(), s.feed_forward, options.balance * e_ * per_token,
                           options.z * per_token, dx_.data(), gradient);
    attention_.Backward(params, o, n_, s.x.data(), s.attention, dx_.data(), gradient);
  }
  for (int64_t i = 0; i < n_; ++i) {
    T* g = gradient + layout_.embedding + windows[i / t_][i % t_] * d_;
    for (int64_t j = 0; j < d_; ++j) g[j] += dx_[i * d_ + j];
  }
  return parts;
}

template class Gradients<float>;
template class Gradients<double>;

}  // namespace eaq

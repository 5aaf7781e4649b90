#include "eaq/train/feed_forward_pass.h"

#include <algorithm>
#include <cmath>

#include "eaq/train/products.h"

namespace eaq {

template <typename T>
FeedForwardPass<T>::FeedForwardPass(const ModelConfig& config, int64_t n, RowHook<T>* hook)
    : config_(config),
      n_(n),
      d_(config.hidden_size),
      e_(config.num_experts),
      k_(config.experts_per_token),
      hook_(hook) {
  const int64_t widest = std::max({config.expert_width * k_, config.shared_width, config.dense_width});
  dh_.resize(n * d_), dxe_.resize(n * k_ * d_), dye_.resize(n * k_ * d_);
  dgu_.resize(n * 2 * widest), da_.resize(n * widest), drouter_.resize(n * e_);
  if (hook_ != nullptr) dhr_.resize(n * d_);
}

template <typename T>
typename FeedForwardPass<T>::State FeedForwardPass<T>::NewState(const ParameterLayout::Layer& layer) const {
  State s;
  s.h.resize(n_ * d_), s.r.resize(n_);
  s.common.gu.resize(n_ * 2 * layer.common_width), s.common.a.resize(n_ * layer.common_width);
  if (layer.router < 0) return s;
  if (hook_ != nullptr) s.hr.resize(n_ * d_);
  const int64_t nk = n_ * k_, f = config_.expert_width;
  s.prob.resize(n_ * e_), s.lse.resize(n_), s.weight.resize(nk), s.xe.resize(nk * d_), s.ye.resize(nk * d_);
  s.routed.gu.resize(nk * 2 * f), s.routed.a.resize(nk * f);
  s.choice.resize(nk), s.slot.resize(nk), s.begin.resize(e_ + 1);
  return s;
}

// y[m, hidden] = down(silu(gate x) up x) + beta y
template <typename T>
void FeedForwardPass<T>::RunSwiGlu(int64_t expert, const T* gate_up, const T* down, int64_t m, int64_t width, T* x,
                                   T* gu, T* a, T* y, T beta) {
  if (hook_ != nullptr) hook_->Forward(expert < 0 ? RowSite::kCommonGateUp : RowSite::kExpertGateUp, expert, x, m, d_);
  train::Linear(x, gate_up, gu, m, 2 * width, d_);
  for (int64_t i = 0; i < m; ++i) {
    const T *g = gu + i * 2 * width, *u = g + width;
    T* ai = a + i * width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) ai[j] = g[j] / (1 + train::Exp<T>(-g[j])) * u[j];
  }
  if (hook_ != nullptr) hook_->Forward(expert < 0 ? RowSite::kCommonDown : RowSite::kExpertDown, expert, a, m, width);
  train::Linear(a, down, y, m, d_, width, beta);
}

template <typename T>
void FeedForwardPass<T>::RunSwiGluBackward(int64_t expert, const T* gate_up, const T* down, int64_t m, int64_t width,
                                           const T* x, const T* gu, const T* a, const T* dy, T* dx, T* d_gate_up,
                                           T* d_down) {
  train::LinearBackward(dy, a, down, da_.data(), d_down, m, d_, width);
  if (hook_ != nullptr)
    hook_->Backward(expert < 0 ? RowSite::kCommonDown : RowSite::kExpertDown, expert, da_.data(), m, width);
  for (int64_t i = 0; i < m; ++i) {
    const T *g = gu + i * 2 * width, *u = g + width, *da = &da_[i * width];
    T *dg = &dgu_[i * 2 * width], *du = dg + width;
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
      const T sigmoid = 1 / (1 + train::Exp<T>(-g[j]));
      du[j] = da[j] * g[j] * sigmoid;
      dg[j] = da[j] * u[j] * sigmoid * (1 + g[j] * (1 - sigmoid));
    }
  }
  train::LinearBackward(dgu_.data(), x, gate_up, dx, d_gate_up, m, 2 * width, d_);
  if (hook_ != nullptr)
    hook_->Backward(expert < 0 ? RowSite::kCommonGateUp : RowSite::kExpertGateUp, expert, dx, m, d_);
}

// Probabilities from the logits in s.prob, the choices, and every choice's place among its expert's tokens.
template <typename T>
void FeedForwardPass<T>::Route(int64_t n, State& s) {
  std::vector<int32_t> count(e_, 0);
  for (int64_t i = 0; i < n; ++i) {
    T* p = &s.prob[i * e_];
    s.lse[i] = train::Softmax(p, e_);
    uint64_t used = 0;
    T sum = 0;
    for (int64_t k = 0; k < k_; ++k) {
      int best = -1;
      for (int e = 0; e < e_; ++e)
        if (!(used >> e & 1) && (best < 0 || p[e] > p[best])) best = e;
      used |= uint64_t{1} << best;
      s.choice[i * k_ + k] = best, s.weight[i * k_ + k] = p[best];
      sum += p[best], ++count[best];
    }
    if (config_.norm_topk_prob)
      for (int64_t k = 0; k < k_; ++k) s.weight[i * k_ + k] /= sum;
  }
  s.begin[0] = 0;
  for (int64_t e = 0; e < e_; ++e) s.begin[e + 1] = s.begin[e] + count[e];
  std::vector<int32_t> next(s.begin.begin(), s.begin.end() - 1);
  for (int64_t j = 0; j < n * k_; ++j) {
    s.slot[j] = next[s.choice[j]]++;
    std::copy_n(&s.h[j / k_ * d_], d_, &s.xe[s.slot[j] * d_]);
  }
}

template <typename T>
void FeedForwardPass<T>::Forward(const T* params, const ParameterLayout::Layer& o, int64_t n, const T* x, State& s,
                                 T* out) {
  train::RmsNorm(x, d_, params + o.post_norm, static_cast<T>(config_.rms_norm_eps), s.h.data(), d_, s.r.data(), n, d_);
  std::copy_n(x, n * d_, out);
  if (o.router >= 0) {
    if (hook_ != nullptr) {
      std::copy_n(s.h.data(), n * d_, s.hr.data());
      hook_->Forward(RowSite::kRouter, -1, s.hr.data(), n, d_);
    }
    train::Linear(hook_ == nullptr ? s.h.data() : s.hr.data(), params + o.router, s.prob.data(), n, e_, d_);
    Route(n, s);
  }
  if (o.common_width > 0) {
    RunSwiGlu(-1, params + o.common_gate_up, params + o.common_down, n, o.common_width, s.h.data(), s.common.gu.data(),
              s.common.a.data(), out, 1);
  }
  if (o.router < 0) return;
  const int64_t f = config_.expert_width;
  for (int64_t e = 0; e < e_; ++e) {
    const int64_t b = s.begin[e], m = s.begin[e + 1] - b;
    RunSwiGlu(e, params + o.gate_up + e * 2 * f * d_, params + o.down + e * d_ * f, m, f, s.xe.data() + b * d_,
              s.routed.gu.data() + b * 2 * f, s.routed.a.data() + b * f, s.ye.data() + b * d_, 0);
  }
  for (int64_t i = 0; i < n; ++i) {
    T* to = out + i * d_;
    for (int64_t k = 0; k < k_; ++k) {
      const T w = s.weight[i * k_ + k];
      const T* y = &s.ye[s.slot[i * k_ + k] * d_];
#pragma omp simd
      for (int64_t j = 0; j < d_; ++j) to[j] += w * y[j];
    }
  }
}

// With renormalised weights w_k = p_k / S over the chosen: dp_k = (dw_k - sum_m dw_m w_m) / S; else dp_k = dw_k.
template <typename T>
void FeedForwardPass<T>::Backward(const T* params, const ParameterLayout::Layer& o, int64_t n, const T* x,
                                  const State& s, T balance, T z, T* dx, T* gradient) {
  const int64_t f = config_.expert_width;
  T* dh = dh_.data();
  if (o.common_width > 0) {
    RunSwiGluBackward(-1, params + o.common_gate_up, params + o.common_down, n, o.common_width, s.h.data(),
                      s.common.gu.data(), s.common.a.data(), dx, dh, gradient + o.common_gate_up,
                      gradient + o.common_down);
  } else {
    std::fill_n(dh, n * d_, T(0));
  }
  if (o.router >= 0) {
    for (int64_t i = 0; i < n; ++i) {
      const T *g = dx + i * d_, *p = &s.prob[i * e_];
      T dw[kMaxTrainTopK], dp[kMaxTrainExperts] = {}, dot = 0, sum = 0;
      for (int64_t k = 0; k < k_; ++k) {
        const T *y = &s.ye[s.slot[i * k_ + k] * d_], w = s.weight[i * k_ + k];
        T *dy = &dye_[s.slot[i * k_ + k] * d_], a = 0;
#pragma omp simd reduction(+ : a)
        for (int64_t j = 0; j < d_; ++j) {
          a += g[j] * y[j];
          dy[j] = w * g[j];
        }
        dw[k] = a, dot += a * w, sum += p[s.choice[i * k_ + k]];
      }
      for (int64_t k = 0; k < k_; ++k) dp[s.choice[i * k_ + k]] = config_.norm_topk_prob ? (dw[k] - dot) / sum : dw[k];
      T mean = 0;
      for (int64_t e = 0; e < e_; ++e) {
        dp[e] += balance * static_cast<T>(s.begin[e + 1] - s.begin[e]) / (n * k_);
        mean += dp[e] * p[e];
      }
      for (int64_t e = 0; e < e_; ++e) drouter_[i * e_ + e] = p[e] * (dp[e] - mean + z * 2 * s.lse[i]);
    }
    for (int64_t e = 0; e < e_; ++e) {
      const int64_t b = s.begin[e], m = s.begin[e + 1] - b, down = o.down + e * d_ * f, up = o.gate_up + e * 2 * f * d_;
      RunSwiGluBackward(e, params + up, params + down, m, f, s.xe.data() + b * d_, s.routed.gu.data() + b * 2 * f,
                        s.routed.a.data() + b * f, dye_.data() + b * d_, dxe_.data() + b * d_, gradient + up,
                        gradient + down);
    }
    if (hook_ == nullptr) {
      train::LinearBackward<T>(drouter_.data(), s.h.data(), params + o.router, dh, gradient + o.router, n, e_, d_, 1);
    } else {
      train::LinearBackward<T>(drouter_.data(), s.hr.data(), params + o.router, dhr_.data(), gradient + o.router, n, e_,
                               d_);
      hook_->Backward(RowSite::kRouter, -1, dhr_.data(), n, d_);
      for (int64_t j = 0; j < n * d_; ++j) dh[j] += dhr_[j];
    }
    for (int64_t j = 0; j < n * k_; ++j) {
      T* to = dh + j / k_ * d_;
      const T* from = &dxe_[s.slot[j] * d_];
#pragma omp simd
      for (int64_t c = 0; c < d_; ++c) to[c] += from[c];
    }
  }
  train::RmsNormBackward(x, d_, params + o.post_norm, s.r.data(), dh, d_, dx, d_, true, gradient + o.post_norm, n, d_);
}

template class FeedForwardPass<float>;
template class FeedForwardPass<double>;

}  // namespace eaq

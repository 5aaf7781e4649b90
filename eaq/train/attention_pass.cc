#include "eaq/train/attention_pass.h"

#include <algorithm>
#include <cmath>

#include "eaq/train/products.h"

namespace eaq {
namespace {

constexpr int64_t kRows = 64;  // causal blocks: so many queries, or keys, at a time

}  // namespace

template <typename T>
AttentionPass<T>::AttentionPass(const ModelConfig& config, int64_t windows, int64_t context, RowHook<T>* hook)
    : config_(config),
      windows_(windows),
      t_(context),
      d_(config.hidden_size),
      head_(config.head_dim),
      q_(config.num_heads * config.head_dim),
      kv_(config.num_kv_heads * config.head_dim),
      c_(q_ + 2 * kv_),
      hook_(hook) {
  const int64_t n = windows * context, half = head_ / 2;
  dy_.resize(n * q_), dqkv_.resize(n * c_), dp_.resize(t_ * t_), dh_.resize(n * d_);
  for (int64_t t = 0; t < t_; ++t)
    for (int64_t j = 0; j < half; ++j) {
      const double angle = t / std::pow(config.rope_theta, static_cast<double>(j) / half);
      cos_.push_back(std::cos(angle)), sin_.push_back(std::sin(angle));
    }
}

template <typename T>
typename AttentionPass<T>::State AttentionPass<T>::NewState() const {
  const int64_t n = windows_ * t_;
  State s;
  s.h.resize(n * d_), s.qkv.resize(n * c_), s.qk.resize(n * (q_ + kv_)), s.y.resize(n * q_);
  for (auto* v : {&s.r, &s.rq, &s.rk}) v->resize(n);
  s.p.resize(n * config_.num_heads * t_);
  return s;
}

template <typename T>
void AttentionPass<T>::Rope(T* q, int64_t stride, int64_t heads, int64_t n, T sign) const {
  const int64_t half = head_ / 2;
  for (int64_t i = 0; i < n; ++i) {
    const T *c = &cos_[i % t_ * half], *s = &sin_[i % t_ * half];
    for (int64_t h = 0; h < heads; ++h) {
      T *a = q + i * stride + h * head_, *b = a + half;
#pragma omp simd
      for (int64_t j = 0; j < half; ++j) {
        const T x = a[j], y = b[j];
        a[j] = x * c[j] - sign * y * s[j];
        b[j] = y * c[j] + sign * x * s[j];
      }
    }
  }
}

// p = softmax(q k^T / sqrt(head_dim)), y = p v; a block of queries sees the keys up to its last one.
template <typename T>
void AttentionPass<T>::Scores(int64_t n, State& s) const {
  const int64_t heads = config_.num_heads, group = heads / config_.num_kv_heads, w_qk = q_ + kv_;
  const T scale = 1 / std::sqrt(static_cast<T>(head_));
  for (int64_t w = 0; w < n / t_; ++w)
    for (int64_t h = 0; h < heads; ++h) {
      T* p = &s.p[(w * heads + h) * t_ * t_];
      const T *q = &s.qk[w * t_ * w_qk + h * head_], *k = &s.qk[w * t_ * w_qk + q_ + h / group * head_],
              *v = &s.qkv[w * t_ * c_ + q_ + kv_ + h / group * head_];
      for (int64_t i0 = 0; i0 < t_; i0 += kRows) {
        const int64_t m = std::min(i0 + kRows, t_), rows = m - i0;
        train::Product<T>(false, true, rows, m, head_, scale, q + i0 * w_qk, w_qk, k, w_qk, 0, p + i0 * t_, t_);
        for (int64_t i = i0; i < m; ++i) {
          train::Softmax(p + i * t_, i + 1);
          std::fill(p + i * t_ + i + 1, p + i * t_ + m, T(0));
        }
        train::Product<T>(false, false, rows, head_, m, 1, p + i0 * t_, t_, v, c_, 0,
                          &s.y[(w * t_ + i0) * q_ + h * head_], q_);
      }
    }
}

// From dy_ to dqkv_, the gradients of the rotated q and k and of v. Only blocks on and below the diagonal are touched:
// above it p and dp are not even defined.
template <typename T>
void AttentionPass<T>::ScoresBackward(int64_t n, const State& s) {
  const int64_t heads = config_.num_heads, group = heads / config_.num_kv_heads, w_qk = q_ + kv_;
  const T scale = 1 / std::sqrt(static_cast<T>(head_));
  for (int64_t w = 0; w < n / t_; ++w)
    for (int64_t h = 0; h < heads; ++h) {
      const T* p = &s.p[(w * heads + h) * t_ * t_];
      const T *q = &s.qk[w * t_ * w_qk + h * head_], *k = &s.qk[w * t_ * w_qk + q_ + h / group * head_],
              *v = &s.qkv[w * t_ * c_ + q_ + kv_ + h / group * head_], *dy = &dy_[w * t_ * q_ + h * head_];
      T *dq = &dqkv_[w * t_ * c_ + h * head_], *dk = &dqkv_[w * t_ * c_ + q_ + h / group * head_], *dv = dk + kv_;
      const T keep = h % group == 0 ? 0 : 1;  // heads of a group add to the same keys and values
      for (int64_t i0 = 0; i0 < t_; i0 += kRows) {
        const int64_t m = std::min(i0 + kRows, t_), rows = m - i0;
        train::Product<T>(false, true, rows, m, head_, 1, dy + i0 * q_, q_, v, c_, 0, &dp_[i0 * t_], t_);
        for (int64_t i = i0; i < m; ++i) {
          T* a = &dp_[i * t_];
          const T* pi = p + i * t_;
          T dot = 0;
#pragma omp simd reduction(+ : dot)
          for (int64_t j = 0; j <= i; ++j) dot += a[j] * pi[j];
#pragma omp simd
          for (int64_t j = 0; j <= i; ++j) a[j] = pi[j] * (a[j] - dot) * scale;
          std::fill(a + i + 1, a + m, T(0));
        }
        train::Product<T>(false, false, rows, head_, m, 1, &dp_[i0 * t_], t_, k, w_qk, 0, dq + i0 * c_, c_);
      }
      for (int64_t j0 = 0; j0 < t_; j0 += kRows) {
        const int64_t cols = std::min(kRows, t_ - j0), rows = t_ - j0;
        train::Product<T>(true, false, cols, head_, rows, 1, p + j0 * t_ + j0, t_, dy + j0 * q_, q_, keep, dv + j0 * c_,
                          c_);
        train::Product<T>(true, false, cols, head_, rows, 1, &dp_[j0 * t_ + j0], t_, q + j0 * w_qk, w_qk, keep,
                          dk + j0 * c_, c_);
      }
    }
}

template <typename T>
void AttentionPass<T>::Forward(const T* params, const ParameterLayout::Layer& o, int64_t n, const T* x, State& s,
                               T* out) const {
  const T eps = config_.rms_norm_eps;
  train::RmsNorm(x, d_, params + o.input_norm, eps, s.h.data(), d_, s.r.data(), n, d_);
  if (hook_ != nullptr) hook_->Forward(RowSite::kQkv, -1, s.h.data(), n, d_);
  train::Linear(s.h.data(), params + o.qkv, s.qkv.data(), n, c_, d_);
  T *q = s.qk.data(), *k = q + q_;
  const int64_t w_qk = q_ + kv_;
  if (config_.qk_norm == QkNorm::kFullWidth) {
    train::RmsNorm(s.qkv.data(), c_, params + o.q_norm, eps, q, w_qk, s.rq.data(), n, q_);
    train::RmsNorm(s.qkv.data() + q_, c_, params + o.k_norm, eps, k, w_qk, s.rk.data(), n, kv_);
  } else {
    for (int64_t i = 0; i < n; ++i) std::copy_n(&s.qkv[i * c_], w_qk, q + i * w_qk);
  }
  Rope(q, w_qk, config_.num_heads, n, 1);
  Rope(k, w_qk, config_.num_kv_heads, n, 1);
  if (hook_ != nullptr) hook_->Operands(q, k, w_qk, &s.qkv[w_qk], c_, n);
  Scores(n, s);
  if (hook_ != nullptr) hook_->Forward(RowSite::kO, -1, s.y.data(), n, q_);
  std::copy_n(x, n * d_, out);
  train::Linear<T>(s.y.data(), params + o.o, out, n, d_, q_, 1);
}

template <typename T>
void AttentionPass<T>::Backward(const T* params, const ParameterLayout::Layer& o, int64_t n, const T* x, const State& s,
                                T* dx, T* gradient) {
  train::LinearBackward(dx, s.y.data(), params + o.o, dy_.data(), gradient + o.o, n, d_, q_);
  if (hook_ != nullptr) hook_->Backward(RowSite::kO, -1, dy_.data(), n, q_);
  ScoresBackward(n, s);
  T *dq = dqkv_.data(), *dk = dq + q_;
  Rope(dq, c_, config_.num_heads, n, -1);
  Rope(dk, c_, config_.num_kv_heads, n, -1);
  if (config_.qk_norm == QkNorm::kFullWidth) {
    train::RmsNormBackward(s.qkv.data(), c_, params + o.q_norm, s.rq.data(), dq, c_, dq, c_, false, gradient + o.q_norm,
                           n, q_);
    train::RmsNormBackward(s.qkv.data() + q_, c_, params + o.k_norm, s.rk.data(), dk, c_, dk, c_, false,
                           gradient + o.k_norm, n, kv_);
  }
  train::LinearBackward(dqkv_.data(), s.h.data(), params + o.qkv, dh_.data(), gradient + o.qkv, n, c_, d_);
  if (hook_ != nullptr) hook_->Backward(RowSite::kQkv, -1, dh_.data(), n, d_);
  train::RmsNormBackward(x, d_, params + o.input_norm, s.r.data(), dh_.data(), d_, dx, d_, true,
                         gradient + o.input_norm, n, d_);
}

template class AttentionPass<float>;
template class AttentionPass<double>;

}  // namespace eaq

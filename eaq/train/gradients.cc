#include "eaq/train/gradients.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/vector_math.h"

namespace eaq {
namespace {

constexpr int64_t kRows = 64;  // attention works on blocks of so many queries

template <typename T>
inline T Exp(T x) {
  if constexpr (std::is_same_v<T, float>) return kernels::FastExp(x);
  return std::exp(x);
}

// C = alpha op(A) op(B) + beta C, as kernels::Gemm.
template <typename T>
void Product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b,
             int64_t ldb, T beta, T* c, int64_t ldc) {
  if constexpr (std::is_same_v<T, float>) {
    kernels::Gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  } else {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += (ta ? a[l * lda + i] : a[i * lda + l]) * (tb ? b[j * ldb + l] : b[l * ldb + j]);
        c[i * ldc + j] = alpha * sum + (beta == 0 ? T(0) : beta * c[i * ldc + j]);
      }
  }
}

// y[n,out] = x[n,in] W^T (+ beta y);  dx = dy W (+ beta dx);  dW += dy^T x.
template <typename T>
void Linear(const T* x, const T* w, T* y, int64_t n, int64_t out, int64_t in, T beta = 0) {
  Product<T>(false, true, n, out, in, 1, x, in, w, in, beta, y, out);
}
template <typename T>
void LinearBackward(const T* dy, const T* x, const T* w, T* dx, T* dw, int64_t n, int64_t out, int64_t in) {
  Product<T>(false, false, n, in, out, 1, dy, out, w, in, 0, dx, in);
  if (n > 0) Product<T>(true, false, out, in, n, 1, dy, out, x, in, 1, dw, in);
}

// y = x r w, r = 1 / sqrt(mean x^2 + eps).
template <typename T>
void RmsNorm(const T* x, int64_t ldx, const T* w, T eps, T* y, int64_t ldy, T* r, int64_t n, int64_t d) {
  for (int64_t i = 0; i < n; ++i) {
    const T* a = x + i * ldx;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; ++j) sum += a[j] * a[j];
    r[i] = 1 / std::sqrt(sum / d + eps);
    for (int64_t j = 0; j < d; ++j) y[i * ldy + j] = a[j] * r[i] * w[j];
  }
}

// dx = g w r - x r^3 / d (sum_j g w x), added to DX or written; dw += g x r.
template <typename T>
void RmsNormBackward(const T* x, int64_t ldx, const T* w, const T* r, const T* g, T* dx, int64_t lddx, bool add, T* dw,
                     int64_t n, int64_t d) {
  for (int64_t i = 0; i < n; ++i) {
    const T* a = x + i * ldx;
    const T* gi = g + i * d;
    T* o = dx + i * lddx;
    T s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t j = 0; j < d; ++j) s += gi[j] * w[j] * a[j];
    const T ri = r[i], c = s * ri * ri * ri / d, keep = add ? 1 : 0;
#pragma omp simd
    for (int64_t j = 0; j < d; ++j) {
      dw[j] += gi[j] * a[j] * ri;
      o[j] = (add ? keep * o[j] : T(0)) + gi[j] * w[j] * ri - a[j] * c;
    }
  }
}

// p = softmax(p[0, n)); returns the log-sum-exp of the logits.
template <typename T>
T Softmax(T* p, int64_t n) {
  T top = p[0];
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < n; ++j) top = p[j] > top ? p[j] : top;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    p[j] = Exp<T>(p[j] - top);
    sum += p[j];
  }
  const T inverse = 1 / sum;
  for (int64_t j = 0; j < n; ++j) p[j] *= inverse;
  return top + std::log(sum);
}

}  // namespace

template <typename T>
Gradients<T>::Gradients(const ParameterLayout& layout, int64_t windows, int64_t context)
    : layout_(layout),
      t_(context),
      d_(layout.config.hidden_size),
      v_(layout.config.vocab_size),
      heads_(layout.config.num_heads),
      e_(layout.config.num_experts),
      k_(layout.config.experts_per_token),
      f_(layout.config.expert_width) {
  const int64_t n = windows * context, nk = n * k_;
  for (int64_t l = 0; l < layout.config.num_layers; ++l) {
    LayerState s;
    for (auto* v : {&s.x, &s.h1, &s.y, &s.x2, &s.h2}) v->resize(n * d_);
    for (auto* v : {&s.r1, &s.r2, &s.rq, &s.rk, &s.lse}) v->resize(n);
    s.qkv.resize(n * 3 * d_), s.qk.resize(n * 2 * d_), s.p.resize(n * heads_ * context), s.prob.resize(n * e_);
    s.weight.resize(nk), s.xe.resize(nk * d_), s.gu.resize(nk * 2 * f_), s.a.resize(nk * f_), s.ye.resize(nk * d_);
    s.choice.resize(nk), s.slot.resize(nk), s.begin.resize(e_ + 1);
    layers_.push_back(std::move(s));
  }
  for (auto* v : {&xf_, &hf_, &dx_, &dh_, &dy_, &tmp_}) v->resize(n * d_);
  rf_.resize(n), dqkv_.resize(n * 3 * d_), dp_.resize(t_ * t_), logits_.resize(256 * v_), drouter_.resize(n * e_);
  dxe_.resize(nk * d_), dgu_.resize(nk * 2 * f_), da_.resize(nk * f_), dye_.resize(nk * d_);
  const int64_t half = d_ / heads_ / 2;
  for (int64_t t = 0; t < t_; ++t)
    for (int64_t j = 0; j < half; ++j) {
      const double angle = t / std::pow(layout.config.rope_theta, static_cast<double>(j) / half);
      cos_.push_back(std::cos(angle)), sin_.push_back(std::sin(angle));
    }
}

template <typename T>
void Gradients<T>::Rope(T* q, int64_t stride, T sign) const {
  const int64_t hd = d_ / heads_, half = hd / 2;
  for (int64_t i = 0; i < n_; ++i) {
    const T *c = &cos_[i % t_ * half], *s = &sin_[i % t_ * half];
    for (int64_t h = 0; h < heads_; ++h) {
      T *a = q + i * stride + h * hd, *b = a + half;
#pragma omp simd
      for (int64_t j = 0; j < half; ++j) {
        const T x = a[j], y = b[j];
        a[j] = x * c[j] - sign * y * s[j];
        b[j] = y * c[j] + sign * x * s[j];
      }
    }
  }
}

template <typename T>
void Gradients<T>::Attention(LayerState& s) {
  const int64_t hd = d_ / heads_;
  const T scale = 1 / std::sqrt(static_cast<T>(hd));
  for (int64_t w = 0; w < n_ / t_; ++w)
    for (int64_t h = 0; h < heads_; ++h) {
      T* p = &s.p[(w * heads_ + h) * t_ * t_];
      const T *q = &s.qk[w * t_ * 2 * d_ + h * hd], *k = q + d_, *v = &s.qkv[w * t_ * 3 * d_ + 2 * d_ + h * hd];
      for (int64_t i0 = 0; i0 < t_; i0 += kRows) {
        const int64_t m = std::min(i0 + kRows, t_), rows = m - i0;
        Product<T>(false, true, rows, m, hd, scale, q + i0 * 2 * d_, 2 * d_, k, 2 * d_, 0, p + i0 * t_, t_);
        for (int64_t i = i0; i < m; ++i) {
          Softmax(p + i * t_, i + 1);
          std::fill(p + i * t_ + i + 1, p + (i + 1) * t_, T(0));
        }
        Product<T>(false, false, rows, hd, m, 1, p + i0 * t_, t_, v, 3 * d_, 0, &s.y[(w * t_ + i0) * d_ + h * hd], d_);
      }
    }
}

template <typename T>
void Gradients<T>::AttentionBackward(LayerState& s) {
  const int64_t hd = d_ / heads_;
  const T scale = 1 / std::sqrt(static_cast<T>(hd));
  for (int64_t w = 0; w < n_ / t_; ++w)
    for (int64_t h = 0; h < heads_; ++h) {
      const T* p = &s.p[(w * heads_ + h) * t_ * t_];
      const T *q = &s.qk[w * t_ * 2 * d_ + h * hd], *k = q + d_, *v = &s.qkv[w * t_ * 3 * d_ + 2 * d_ + h * hd];
      const T* dy = &dy_[w * t_ * d_ + h * hd];
      T *dq = &dqkv_[w * t_ * 3 * d_ + h * hd], *dk = dq + d_, *dv = dq + 2 * d_;
      Product<T>(true, false, t_, hd, t_, 1, p, t_, dy, d_, 0, dv, 3 * d_);
      for (int64_t i0 = 0; i0 < t_; i0 += kRows) {
        const int64_t m = std::min(i0 + kRows, t_), rows = m - i0;
        Product<T>(false, true, rows, m, hd, 1, dy + i0 * d_, d_, v, 3 * d_, 0, &dp_[i0 * t_], t_);
        for (int64_t i = i0; i < m; ++i) {
          T* a = &dp_[i * t_];
          const T* pi = p + i * t_;
          T dot = 0;
#pragma omp simd reduction(+ : dot)
          for (int64_t j = 0; j <= i; ++j) dot += a[j] * pi[j];
          for (int64_t j = 0; j <= i; ++j) a[j] = pi[j] * (a[j] - dot) * scale;
          std::fill(a + i + 1, a + t_, T(0));
        }
        Product<T>(false, false, rows, hd, m, 1, &dp_[i0 * t_], t_, k, 2 * d_, 0, dq + i0 * 3 * d_, 3 * d_);
      }
      Product<T>(true, false, t_, hd, t_, 1, dp_.data(), t_, q, 2 * d_, 0, dk, 3 * d_);
    }
}

template <typename T>
void Gradients<T>::Experts(const T* params, const ParameterLayout::Layer& o, LayerState& s, T* out) {
  Linear(s.h2.data(), params + o.router, s.prob.data(), n_, e_, d_);
  std::vector<int32_t> count(e_, 0);
  for (int64_t i = 0; i < n_; ++i) {
    T* p = &s.prob[i * e_];
    s.lse[i] = Softmax(p, e_);
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
    for (int64_t k = 0; k < k_; ++k) s.weight[i * k_ + k] /= sum;
  }
  s.begin[0] = 0;
  for (int64_t e = 0; e < e_; ++e) s.begin[e + 1] = s.begin[e] + count[e];
  std::vector<int32_t> next(s.begin.begin(), s.begin.end() - 1);
  for (int64_t j = 0; j < n_ * k_; ++j) {
    s.slot[j] = next[s.choice[j]]++;
    std::copy_n(&s.h2[j / k_ * d_], d_, &s.xe[s.slot[j] * d_]);
  }
  for (int64_t e = 0; e < e_; ++e) {
    const int64_t b = s.begin[e], m = count[e];
    Linear(&s.xe[0] + b * d_, params + o.gate_up + e * 2 * f_ * d_, &s.gu[0] + b * 2 * f_, m, 2 * f_, d_);
    for (int64_t i = b; i < b + m; ++i) {
      const T *g = &s.gu[i * 2 * f_], *u = g + f_;
      T* a = &s.a[i * f_];
#pragma omp simd
      for (int64_t j = 0; j < f_; ++j) a[j] = g[j] / (1 + Exp<T>(-g[j])) * u[j];
    }
    Linear(&s.a[0] + b * f_, params + o.down + e * d_ * f_, &s.ye[0] + b * d_, m, d_, f_);
  }
  for (int64_t i = 0; i < n_; ++i) {
    std::copy_n(&s.x2[i * d_], d_, out + i * d_);
    for (int64_t k = 0; k < k_; ++k) {
      const T w = s.weight[i * k_ + k];
      const T* y = &s.ye[s.slot[i * k_ + k] * d_];
      for (int64_t j = 0; j < d_; ++j) out[i * d_ + j] += w * y[j];
    }
  }
}

// Leaves the gradient of h2 in dh_. With w_k = p_k / S over the chosen, dp_k = (dw_k - sum_m dw_m w_m) / S.
template <typename T>
void Gradients<T>::ExpertsBackward(const T* params, const ParameterLayout::Layer& o, LayerState& s,
                                   const LossOptions& options, T* gradient) {
  const T per_token = options.scale / (static_cast<double>(n_) * layers_.size());
  for (int64_t i = 0; i < n_; ++i) {
    const T *g = &dx_[i * d_], *p = &s.prob[i * e_];
    T dw[8], dp[64] = {}, dot = 0, sum = 0;
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
    for (int64_t k = 0; k < k_; ++k) dp[s.choice[i * k_ + k]] = (dw[k] - dot) / sum;
    T mean = 0;
    for (int64_t e = 0; e < e_; ++e) {
      const T share = static_cast<T>(s.begin[e + 1] - s.begin[e]) / (n_ * k_);
      dp[e] += static_cast<T>(options.balance) * e_ * per_token * share;
      mean += dp[e] * p[e];
    }
    const T z = static_cast<T>(options.z) * 2 * s.lse[i] * per_token;
    for (int64_t e = 0; e < e_; ++e) drouter_[i * e_ + e] = p[e] * (dp[e] - mean + z);
  }
  for (int64_t e = 0; e < e_; ++e) {
    const int64_t b = s.begin[e], m = s.begin[e + 1] - b, down = o.down + e * d_ * f_, up = o.gate_up + e * 2 * f_ * d_;
    LinearBackward(&dye_[0] + b * d_, &s.a[0] + b * f_, params + down, &da_[0] + b * f_, gradient + down, m, d_, f_);
    for (int64_t i = b; i < b + m; ++i) {
      const T *g = &s.gu[i * 2 * f_], *u = g + f_, *da = &da_[i * f_];
      T *dg = &dgu_[i * 2 * f_], *du = dg + f_;
#pragma omp simd
      for (int64_t j = 0; j < f_; ++j) {
        const T sigmoid = 1 / (1 + Exp<T>(-g[j]));
        du[j] = da[j] * g[j] * sigmoid;
        dg[j] = da[j] * u[j] * sigmoid * (1 + g[j] * (1 - sigmoid));
      }
    }
    LinearBackward(&dgu_[0] + b * 2 * f_, &s.xe[0] + b * d_, params + up, &dxe_[0] + b * d_, gradient + up, m, 2 * f_,
                   d_);
  }
  LinearBackward(drouter_.data(), s.h2.data(), params + o.router, dh_.data(), gradient + o.router, n_, e_, d_);
  for (int64_t j = 0; j < n_ * k_; ++j) {
    T* out = &dh_[j / k_ * d_];
    const T* in = &dxe_[s.slot[j] * d_];
    for (int64_t c = 0; c < d_; ++c) out[c] += in[c];
  }
}

// Sum of -log p over all tokens; leaves the gradient of the last hidden states in dh_.
template <typename T>
double Gradients<T>::Head(const T* params, const std::vector<const uint16_t*>& windows, T scale, T* gradient) {
  double total = 0;
  for (int64_t r0 = 0; r0 < n_; r0 += 256) {
    const int64_t m = std::min<int64_t>(256, n_ - r0);
    Linear(&hf_[r0 * d_], params + layout_.embedding, logits_.data(), m, v_, d_);
    for (int64_t i = 0; i < m; ++i) {
      const int64_t row = r0 + i, target = windows[row / t_][row % t_ + 1];
      T* p = &logits_[i * v_];
      const double logit = p[target];
      total += static_cast<double>(Softmax(p, v_)) - logit;
      for (int64_t j = 0; j < v_; ++j) p[j] *= scale;
      p[target] -= scale;
    }
    if (gradient != nullptr)
      LinearBackward(logits_.data(), &hf_[r0 * d_], params + layout_.embedding, &dh_[r0 * d_],
                     gradient + layout_.embedding, m, v_, d_);
  }
  return total;
}

template <typename T>
LossParts Gradients<T>::LossAndGradients(const T* params, const std::vector<const uint16_t*>& windows,
                                         const LossOptions& options, T* gradient) {
  n_ = static_cast<int64_t>(windows.size()) * t_;
  const T eps = layout_.config.rms_norm_eps;
  const int64_t depth = layers_.size();
  use_.assign(depth * e_, 0);
  for (int64_t i = 0; i < n_; ++i)
    std::copy_n(params + layout_.embedding + windows[i / t_][i % t_] * d_, d_, &layers_[0].x[i * d_]);
  LossParts parts;
  for (int64_t l = 0; l < depth; ++l) {
    LayerState& s = layers_[l];
    const ParameterLayout::Layer& o = layout_.layers[l];
    RmsNorm(s.x.data(), d_, params + o.input_norm, eps, s.h1.data(), d_, s.r1.data(), n_, d_);
    Linear(s.h1.data(), params + o.qkv, s.qkv.data(), n_, 3 * d_, d_);
    RmsNorm(s.qkv.data(), 3 * d_, params + o.q_norm, eps, s.qk.data(), 2 * d_, s.rq.data(), n_, d_);
    RmsNorm(s.qkv.data() + d_, 3 * d_, params + o.k_norm, eps, s.qk.data() + d_, 2 * d_, s.rk.data(), n_, d_);
    Rope(s.qk.data(), 2 * d_, 1);
    Rope(s.qk.data() + d_, 2 * d_, 1);
    Attention(s);
    std::copy_n(s.x.data(), n_ * d_, s.x2.data());
    Linear<T>(s.y.data(), params + o.o, s.x2.data(), n_, d_, d_, 1);
    RmsNorm(s.x2.data(), d_, params + o.post_norm, eps, s.h2.data(), d_, s.r2.data(), n_, d_);
    Experts(params, o, s, l + 1 < depth ? layers_[l + 1].x.data() : xf_.data());
    for (int64_t e = 0; e < e_; ++e) {
      double mean = 0;
      for (int64_t i = 0; i < n_; ++i) mean += s.prob[i * e_ + e];
      use_[l * e_ + e] = s.begin[e + 1] - s.begin[e];
      parts.balance += e_ * (mean / n_) * use_[l * e_ + e] / static_cast<double>(n_ * k_) / depth;
    }
    for (int64_t i = 0; i < n_; ++i) parts.z += static_cast<double>(s.lse[i]) * s.lse[i] / n_ / depth;
  }
  RmsNorm(xf_.data(), d_, params + layout_.final_norm, eps, hf_.data(), d_, rf_.data(), n_, d_);
  parts.nll = Head(params, windows, static_cast<T>(options.scale / n_), gradient) / n_;
  if (gradient == nullptr) return parts;

  RmsNormBackward(xf_.data(), d_, params + layout_.final_norm, rf_.data(), dh_.data(), dx_.data(), d_, false,
                  gradient + layout_.final_norm, n_, d_);
  for (int64_t l = depth - 1; l >= 0; --l) {
    LayerState& s = layers_[l];
    const ParameterLayout::Layer& o = layout_.layers[l];
    ExpertsBackward(params, o, s, options, gradient);
    RmsNormBackward(s.x2.data(), d_, params + o.post_norm, s.r2.data(), dh_.data(), dx_.data(), d_, true,
                    gradient + o.post_norm, n_, d_);
    LinearBackward(dx_.data(), s.y.data(), params + o.o, dy_.data(), gradient + o.o, n_, d_, d_);
    AttentionBackward(s);
    for (int part = 0; part < 2; ++part) {
      T* g = dqkv_.data() + part * d_;
      Rope(g, 3 * d_, -1);
      for (int64_t i = 0; i < n_; ++i) std::copy_n(g + i * 3 * d_, d_, &tmp_[i * d_]);
      const int64_t norm = part == 0 ? o.q_norm : o.k_norm;
      RmsNormBackward(s.qkv.data() + part * d_, 3 * d_, params + norm, (part == 0 ? s.rq : s.rk).data(), tmp_.data(), g,
                      3 * d_, false, gradient + norm, n_, d_);
    }
    LinearBackward(dqkv_.data(), s.h1.data(), params + o.qkv, dh_.data(), gradient + o.qkv, n_, 3 * d_, d_);
    RmsNormBackward(s.x.data(), d_, params + o.input_norm, s.r1.data(), dh_.data(), dx_.data(), d_, true,
                    gradient + o.input_norm, n_, d_);
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

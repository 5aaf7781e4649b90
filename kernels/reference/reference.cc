#include "kernels/reference/reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace eaq::kernels::reference {

Doubles Gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const Doubles& a, const Doubles& b) {
  Doubles c(m * n, 0.0);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < k; ++l)
        c[i * n + j] += (transpose_a ? a[l * m + i] : a[i * k + l]) * (transpose_b ? b[j * k + l] : b[l * n + j]);
  return c;
}

Doubles RmsNorm(const Doubles& x, const Doubles& weight, double eps, int64_t rows, int64_t n) {
  Doubles y(rows * n);
  for (int64_t r = 0; r < rows; ++r) {
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += x[r * n + i] * x[r * n + i] / n;
    for (int64_t i = 0; i < n; ++i) y[r * n + i] = x[r * n + i] / std::sqrt(mean + eps) * weight[i];
  }
  return y;
}

Doubles RotaryHalfSplit(const Doubles& x, const Doubles& cosines, const Doubles& sines, int64_t rows, int64_t heads,
                        int64_t head_dim) {
  Doubles y(x.size());
  const int64_t half = head_dim / 2;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        const int64_t low = (r * heads + h) * head_dim + i, high = low + half;
        const double c = cosines[r * half + i], s = sines[r * half + i];
        y[low] = x[low] * c - x[high] * s;
        y[high] = x[high] * c + x[low] * s;
      }
  return y;
}

Doubles SoftmaxRows(const Doubles& x, int64_t rows, int64_t n) {
  Doubles y(rows * n);
  for (int64_t r = 0; r < rows; ++r) {
    const double largest = *std::max_element(x.begin() + r * n, x.begin() + (r + 1) * n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += std::exp(x[r * n + i] - largest);
    for (int64_t i = 0; i < n; ++i) y[r * n + i] = std::exp(x[r * n + i] - largest) / sum;
  }
  return y;
}

Doubles SiluMul(const Doubles& gate, const Doubles& up) {
  Doubles y(gate.size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
  return y;
}

std::vector<int32_t> TopK(const Doubles& scores, int64_t k) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
  order.resize(k);
  return order;
}

double LogSumExp(const Doubles& x) {
  const double largest = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const double value : x) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

Divergence Diverge(const Doubles& p, const Doubles& q) {
  Divergence d{.log_sum_p = LogSumExp(p), .log_sum_q = LogSumExp(q)};
  for (size_t i = 0; i < p.size(); ++i) {
    const double log_p = p[i] - d.log_sum_p;
    d.kl += std::exp(log_p) * (log_p - (q[i] - d.log_sum_q));
  }
  d.agree = std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin();
  return d;
}

Doubles Attention(const AttentionShape& s, const Doubles& q, const Doubles& k, const Doubles& v) {
  const int64_t width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim;
  Doubles out(s.queries * width, 0.0);
  for (int64_t i = 0; i < s.queries; ++i)
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t kv = h / (s.heads / s.kv_heads) * s.head_dim, position = s.first + i;
      Doubles scores;
      std::vector<int64_t> keys;
      for (int64_t j = 0; j <= position; ++j) {
        if (s.window > 0 && position - j >= s.window) continue;
        double dot = 0;
        for (int64_t d = 0; d < s.head_dim; ++d) dot += q[i * width + h * s.head_dim + d] * k[j * kv_width + kv + d];
        scores.push_back(dot * s.scale);
        keys.push_back(j);
      }
      const Doubles p = SoftmaxRows(scores, 1, static_cast<int64_t>(scores.size()));
      for (size_t j = 0; j < keys.size(); ++j)
        for (int64_t d = 0; d < s.head_dim; ++d)
          out[i * width + h * s.head_dim + d] += p[j] * v[keys[j] * kv_width + kv + d];
    }
  return out;
}

}  // namespace eaq::kernels::reference

#include <cmath>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/vector_math.h"

// Sums use a fixed number of lanes written out in the source, so their order (and every bit) is the same whatever
// vector width the compiler chooses.
namespace eaq::kernels {
namespace {

constexpr int64_t kLanes = 16;

// sum x_i^2: sixteen float64 lanes.
double SumOfSquares(const float* x, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += static_cast<double>(x[i + l]) * static_cast<double>(x[i + l]);
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

// NaN is passed over unless it comes first.
float Largest(const float* x, int64_t n) {
  float largest = x[0];
#pragma omp simd reduction(max : largest)
  for (int64_t i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

int64_t FirstEqual(const float* x, float value, int64_t n) {
  int64_t i = 0;
  while (i < n && x[i] != value) ++i;
  return i;
}

// sum exp(x_i - shift): sixteen float64 lanes.
double SumExp(const float* x, float shift, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int64_t l = 0; l < kLanes; ++l)
      lanes[l] += FastExp64(static_cast<double>(x[i + l]) - static_cast<double>(shift));
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (; i < n; ++i) sum += FastExp64(static_cast<double>(x[i]) - static_cast<double>(shift));
  return sum;
}

}  // namespace

void RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy, int64_t rows,
             int64_t n) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* in = x + r * ldx;
    float* out = y + r * ldy;
    const float scale = static_cast<float>(1.0 / std::sqrt(SumOfSquares(in, n) / static_cast<double>(n) + eps));
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = in[i] * scale * weight[i];
  }
}

void RotaryHalfSplit(float* x, int64_t ldx, const float* cosines, const float* sines, int64_t rows, int64_t heads,
                     int64_t head_dim) {
  const int64_t half = head_dim / 2;
  for (int64_t r = 0; r < rows; ++r) {
    const float* c = cosines + r * half;
    const float* s = sines + r * half;
    for (int64_t h = 0; h < heads; ++h) {
      float* low = x + r * ldx + h * head_dim;
      float* high = low + half;
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const float a = low[i], b = high[i];
        low[i] = a * c[i] - b * s[i];
        high[i] = b * c[i] + a * s[i];
      }
    }
  }
}

void SoftmaxRows(const float* x, int64_t ldx, float* y, int64_t ldy, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* in = x + r * ldx;
    float* out = y + r * ldy;
    float largest = in[0];
#pragma omp simd reduction(max : largest)
    for (int64_t i = 1; i < n; ++i) largest = in[i] > largest ? in[i] : largest;
    float lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
      for (int64_t l = 0; l < kLanes; ++l) {
        const float e = FastExp(in[i + l] - largest);
        out[i + l] = e;
        lanes[l] += e;
      }
    }
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    for (; i < n; ++i) {
      out[i] = FastExp(in[i] - largest);
      sum += out[i];
    }
    const float inverse = 1.0f / sum;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) out[j] *= inverse;
  }
}

void SiluMul(const float* gate, const float* up, float* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = FastSilu(gate[i]) * up[i];
}

void Axpy(float a, const float* x, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

void TopK(const float* scores, int64_t n, int64_t k, int32_t* indices) {
  // Insertion into a sorted list of k: k is 1..8 in every known model. A strict comparison keeps the lowest index.
  const auto above = [](float a, float b) { return a > b || (std::isnan(b) && !std::isnan(a)); };
  int64_t held = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (held == k && !above(scores[i], scores[indices[k - 1]])) continue;
    int64_t at = held < k ? held++ : k - 1;
    for (; at > 0 && above(scores[i], scores[indices[at - 1]]); --at) indices[at] = indices[at - 1];
    indices[at] = static_cast<int32_t>(i);
  }
}

double LogSumExp(const float* x, int64_t n) {
  const float largest = Largest(x, n);
  if (std::isinf(largest)) return largest;
  return static_cast<double>(largest) + std::log(SumExp(x, largest, n));
}

// KL = sum_i p_i (p'_i - q'_i) - log_sum_p + log_sum_q for logits p', q': one exponential each.
Divergence Diverge(const float* p, const float* q, int64_t n) {
  const float top_p = Largest(p, n), top_q = Largest(q, n);
  double sums[kLanes] = {}, gaps[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int64_t l = 0; l < kLanes; ++l) {
      const double e = FastExp64(static_cast<double>(p[i + l]) - static_cast<double>(top_p));
      sums[l] += e;
      gaps[l] += e * (static_cast<double>(p[i + l]) - static_cast<double>(q[i + l]));
    }
  }
  double sum = 0, gap = 0;
  for (int64_t l = 0; l < kLanes; ++l) sum += sums[l], gap += gaps[l];
  for (; i < n; ++i) {
    const double e = FastExp64(static_cast<double>(p[i]) - static_cast<double>(top_p));
    sum += e;
    gap += e * (static_cast<double>(p[i]) - static_cast<double>(q[i]));
  }
  Divergence d;
  d.log_sum_p = std::isinf(top_p) ? top_p : static_cast<double>(top_p) + std::log(sum);
  d.log_sum_q = std::isinf(top_q) ? top_q : static_cast<double>(top_q) + std::log(SumExp(q, top_q, n));
  const double kl = gap / sum - (d.log_sum_p - d.log_sum_q);
  d.kl = kl < 0 && std::isfinite(kl) ? 0.0 : kl;
  d.agree = FirstEqual(p, top_p, n) == FirstEqual(q, top_q, n);
  return d;
}

void MatVec(const float* w, const float* x, float* y, int64_t out, int64_t in) {
  for (int64_t o = 0; o < out; ++o) {
    const float* row = w + o * in;
    float lanes[2 * kLanes] = {};
    int64_t i = 0;
    for (; i + 2 * kLanes <= in; i += 2 * kLanes) {
#pragma omp simd
      for (int64_t l = 0; l < 2 * kLanes; ++l) lanes[l] += row[i + l] * x[i + l];
    }
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    for (; i < in; ++i) sum += row[i] * x[i];
    y[o] = sum;
  }
}

}  // namespace eaq::kernels

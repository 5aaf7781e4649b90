#include "eaq/train/adamw.h"

#include <algorithm>
#include <cmath>

namespace eaq {

double LearningRate(double peak, int64_t step, int64_t warmup, int64_t total) {
  if (step <= warmup) return peak * step / warmup;
  const double u = std::min(1.0, static_cast<double>(step - warmup) / std::max<int64_t>(1, total - warmup));
  return peak * (0.05 + 0.95 * 0.5 * (1 + std::cos(M_PI * u)));
}

AdamW::AdamW(const ParameterLayout& layout, const AdamWOptions& options)
    : m(layout.size, 0.0f), v(layout.size, 0.0f), layout_(layout), options_(options) {}

double AdamW::Step(const std::vector<float>& gradient, double rate, std::vector<float>& params) {
  ++step;
  double square = 0;
  for (const float g : gradient) square += static_cast<double>(g) * g;
  const double norm = std::sqrt(square);
  const float scale = norm > options_.clip ? options_.clip / norm : 1.0;
  const float b1 = options_.beta1, b2 = options_.beta2, eps = options_.epsilon;
  const float c1 = 1 / (1 - std::pow(options_.beta1, step)), c2 = 1 / (1 - std::pow(options_.beta2, step));
  const float lr = rate;
  for (const ParameterGroup& group : layout_.groups) {
    const float decay = group.decay ? options_.weight_decay : 0.0;
#pragma omp simd
    for (int64_t i = group.offset; i < group.offset + group.size; ++i) {
      const float g = gradient[i] * scale;
      m[i] = b1 * m[i] + (1 - b1) * g;
      v[i] = b2 * v[i] + (1 - b2) * g * g;
      params[i] -= lr * (m[i] * c1 / (std::sqrt(v[i] * c2) + eps) + decay * params[i]);
    }
  }
  return norm;
}

}  // namespace eaq

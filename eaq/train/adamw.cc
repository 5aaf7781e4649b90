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
    : m(layout.size, 0.0f), v(layout.size, 0.0f), options_(options) {
  constexpr int64_t kPiece = 16384;
  for (const ParameterGroup& group : layout.groups)
    for (int64_t at = 0; at < group.size; at += kPiece)
      pieces_.push_back({group.offset + at, group.offset + std::min(at + kPiece, group.size), group.decay});
}

double AdamW::Step(std::vector<Buffer<float>>& gradients, double rate, ThreadPool& pool, Buffer<float>& params) {
  ++step;
  float* const gradient = gradients[0].data();
  pool.ParallelFor(pieces_.size(), [&](int64_t p) {
    Piece& piece = pieces_[p];
    for (size_t s = 1; s < gradients.size(); ++s) {
      const float* other = gradients[s].data();
#pragma omp simd
      for (int64_t i = piece.begin; i < piece.end; ++i) gradient[i] += other[i];
    }
    double square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t i = piece.begin; i < piece.end; ++i) square += static_cast<double>(gradient[i]) * gradient[i];
    piece.square = square;
  });
  double square = 0;
  for (const Piece& piece : pieces_) square += piece.square;
  const double norm = std::sqrt(square);
  const float scale = norm > options_.clip ? options_.clip / norm : 1.0;
  const float b1 = options_.beta1, b2 = options_.beta2, eps = options_.epsilon;
  const float c1 = 1 / (1 - std::pow(options_.beta1, step)), c2 = 1 / (1 - std::pow(options_.beta2, step));
  const float lr = rate;
  float *const mp = m.data(), *const vp = v.data(), *const w = params.data();
  pool.ParallelFor(pieces_.size(), [&](int64_t p) {
    const Piece& piece = pieces_[p];
    const float decay = piece.decay ? options_.weight_decay : 0.0;
#pragma omp simd
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      const float g = gradient[i] * scale;
      mp[i] = b1 * mp[i] + (1 - b1) * g;
      vp[i] = b2 * vp[i] + (1 - b2) * g * g;
      w[i] -= lr * (mp[i] * c1 / (std::sqrt(vp[i] * c2) + eps) + decay * w[i]);
    }
  });
  return norm;
}

}  // namespace eaq

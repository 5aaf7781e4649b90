#include "eaq/methods/omniquant/clipping.h"

#include <cmath>

namespace eaq {
namespace {

int64_t CountGrids(const std::vector<LearnedLinear>& linears) {
  int64_t count = 0;
  for (const LearnedLinear& linear : linears) count += linear.grid.grids();
  return count;
}

}  // namespace

Clipping::Clipping(const std::vector<LearnedLinear>& linears, double init)
    : linears_(linears),
      begin_{0},
      half_(CountGrids(linears)),
      logits_(2 * half_, static_cast<float>(init)),
      gradient_(2 * half_, 0.0f),
      adam_(2 * half_) {
  for (const LearnedLinear& linear : linears) begin_.push_back(begin_.back() + linear.grid.grids());
}

std::vector<float> Clipping::Factors(int64_t begin, int64_t end) const {
  std::vector<float> factors;
  for (int64_t i = begin; i < end; ++i) factors.push_back(1.0f / (1.0f + std::exp(-logits_[i])));
  return factors;
}

void Clipping::Round(const std::vector<float>& weights, ThreadPool& pool, std::vector<float>& flat) const {
  pool.ParallelFor(linears_.size(), [&](int64_t i) {
    const LearnedLinear& l = linears_[i];
    l.grid.Forward(&weights[l.at], nullptr, Upper(i).data(), Lower(i).data(), &flat[l.at]);
  });
}

void Clipping::Step(const std::vector<float>& weights, std::vector<float>& gradient, bool pass_on, double rate,
                    ThreadPool& pool) {
  pool.ParallelFor(linears_.size(), [&](int64_t i) {
    const LearnedLinear& l = linears_[i];
    const std::vector<float> upper = Upper(i), lower = Lower(i);
    float *du = &gradient_[begin_[i]], *dl = &gradient_[half_ + begin_[i]], *g = &gradient[l.at];
    l.grid.Backward(&weights[l.at], nullptr, upper.data(), lower.data(), g,
                    {.weight = pass_on ? g : nullptr, .upper = du, .lower = dl});
    for (size_t j = 0; j < upper.size(); ++j) {
      du[j] *= upper[j] * (1 - upper[j]);
      dl[j] *= lower[j] * (1 - lower[j]);
    }
  });
  if (rate > 0 && half_ > 0) adam_.Step(absl::MakeSpan(logits_), gradient_, rate);
}

}  // namespace eaq

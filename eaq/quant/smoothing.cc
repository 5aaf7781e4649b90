#include "eaq/quant/smoothing.h"

#include <algorithm>
#include <cmath>

namespace eaq {

std::vector<float> ColumnAbsMax(absl::Span<const Matrix* const> weights) {
  std::vector<float> largest(weights.empty() ? 0 : weights[0]->cols(), 0.0f);
  for (const Matrix* w : weights) {
    for (int64_t r = 0; r < w->rows(); ++r)
      for (int64_t c = 0; c < w->cols(); ++c) largest[c] = std::max(largest[c], std::fabs((*w)(r, c)));
  }
  return largest;
}

std::vector<float> SmoothingScales(absl::Span<const float> input_abs_max, absl::Span<const float> weight_abs_max,
                                   double alpha, float floor) {
  std::vector<float> s(input_abs_max.size());
  for (size_t j = 0; j < s.size(); ++j) {
    const double x = std::max<double>(input_abs_max[j], kSmoothingFloor);
    const double w = std::max<double>(weight_abs_max[j], kSmoothingFloor);
    s[j] = std::max(static_cast<float>(std::pow(x, alpha) / std::pow(w, 1 - alpha)), floor);
  }
  return s;
}

void ScaleColumns(absl::Span<const float> s, Matrix& w) {
  for (int64_t r = 0; r < w.rows(); ++r)
    for (int64_t c = 0; c < w.cols(); ++c) w(r, c) *= s[c];
}

void DivideRows(absl::Span<const float> s, Matrix& w, std::vector<float>& bias) {
  for (int64_t r = 0; r < w.rows(); ++r)
    for (int64_t c = 0; c < w.cols(); ++c) w(r, c) /= s[r];
  if (!bias.empty()) Divide(s, bias);
}

void Divide(absl::Span<const float> s, std::vector<float>& v) {
  for (size_t j = 0; j < v.size(); ++j) v[j] /= s[j];
}

}  // namespace eaq

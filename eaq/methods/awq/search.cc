#include "eaq/methods/awq/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "eaq/base/status_macros.h"
#include "eaq/quant/quantized_matrix.h"

namespace eaq {
namespace {

constexpr double kFloor = 1e-4;

// Columns of a row's grid G: [begin, end).
struct Columns {
  int64_t begin, end;
};
std::vector<Columns> GroupColumns(const GridSpec& grid, int64_t cols) {
  std::vector<Columns> groups;
  const int64_t size = grid.granularity == Granularity::kGroup ? grid.group_size : cols;
  for (int64_t begin = 0; begin < cols; begin += size) groups.push_back({begin, std::min(begin + size, cols)});
  return groups;
}

float LargestMagnitude(const Matrix& w, int64_t row, Columns c) {
  float largest = 0;
  for (int64_t j = c.begin; j < c.end; ++j) largest = std::max(largest, std::fabs(w(row, j)));
  return largest;
}

}  // namespace

std::vector<double> MeanMagnitudes(const Matrix& x) {
  std::vector<double> means(x.cols(), 0.0);
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.cols(); ++c) means[c] += std::fabs(x(r, c));
  for (double& m : means) m /= std::max<int64_t>(x.rows(), 1);
  return means;
}

std::vector<double> MeanRelativeWeights(absl::Span<const Matrix* const> weights, const GridSpec& grid) {
  std::vector<double> means(weights.empty() ? 0 : weights[0]->cols(), 0.0);
  int64_t rows = 0;
  for (const Matrix* w : weights) {
    rows += w->rows();
    for (const Columns group : GroupColumns(grid, w->cols())) {
      for (int64_t r = 0; r < w->rows(); ++r) {
        const float largest = LargestMagnitude(*w, r, group);
        if (largest == 0) continue;
        for (int64_t c = group.begin; c < group.end; ++c) means[c] += std::fabs((*w)(r, c)) / double{largest};
      }
    }
  }
  for (double& m : means) m /= std::max<int64_t>(rows, 1);
  return means;
}

std::vector<float> AwqScales(absl::Span<const double> input_means, absl::Span<const double> weight_means,
                             double ratio) {
  std::vector<double> s(input_means.size());
  for (size_t c = 0; c < s.size(); ++c) {
    s[c] = std::pow(input_means[c], ratio);
    if (!weight_means.empty()) s[c] /= std::pow(weight_means[c], 1 - ratio) + kFloor;
    s[c] = std::max(s[c], kFloor);
  }
  const auto [least, largest] = std::minmax_element(s.begin(), s.end());
  const double middle = std::sqrt(*least * *largest);
  std::vector<float> scales(s.size());
  for (size_t c = 0; c < s.size(); ++c) {
    scales[c] = static_cast<float>(s[c] / middle);
    if (!std::isfinite(scales[c]) || scales[c] == 0) scales[c] = 1;
  }
  return scales;
}

absl::StatusOr<Matrix> RoundScaled(const Matrix& w, absl::Span<const float> scales, const GridSpec& grid,
                                   const QuantizeOps& ops) {
  Matrix scaled(w.rows(), w.cols());
  for (int64_t r = 0; r < w.rows(); ++r)
    for (int64_t c = 0; c < w.cols(); ++c) scaled(r, c) = w(r, c) * scales[c];
  EAQ_ASSIGN_OR_RETURN(const NearestResult q, ops.Nearest(scaled.const_view(), grid, {}));
  Matrix rounded = Dequantize(q.weight);
  for (int64_t r = 0; r < w.rows(); ++r)
    for (int64_t c = 0; c < w.cols(); ++c) rounded(r, c) /= scales[c];
  return rounded;
}

absl::StatusOr<double> OutputError(const Matrix& x, const Matrix& w, const Matrix& rounded,
                                   absl::Span<const float> token_weights, const QuantizeOps& ops) {
  Matrix difference = w;
  for (int64_t i = 0; i < w.size(); ++i) difference.data()[i] -= rounded.data()[i];
  EAQ_ASSIGN_OR_RETURN(const Matrix y, ops.Product(x.const_view(), difference.const_view()));
  double sum = 0;
  if (token_weights.empty()) {
    for (const float v : y.values()) sum += double{v} * v;
    return sum / y.size();
  }
  for (int64_t t = 0; t < y.rows(); ++t) {
    double square = 0;
    for (int64_t c = 0; c < y.cols(); ++c) square += double{y(t, c)} * y(t, c);
    sum += token_weights[t] * square;
  }
  return sum / y.size();
}

Matrix Subsample(const Matrix& x, int64_t tokens) {
  const int64_t stride = std::max<int64_t>(1, x.rows() / tokens), rows = (x.rows() + stride - 1) / stride;
  Matrix sample(rows, x.cols());
  for (int64_t r = 0; r < rows; ++r) std::copy_n(x.row(r * stride), x.cols(), sample.row(r));
  return sample;
}

std::vector<float> Subsample(absl::Span<const float> values, int64_t tokens) {
  const int64_t stride = std::max<int64_t>(1, static_cast<int64_t>(values.size()) / tokens);
  std::vector<float> sample;
  for (int64_t r = 0; r < static_cast<int64_t>(values.size()); r += stride) sample.push_back(values[r]);
  return sample;
}

absl::StatusOr<Matrix> ClipWeights(const Matrix& w, const Matrix& sample, const GridSpec& grid,
                                   const AwqClipOptions& options, absl::Span<const float> token_weights,
                                   const QuantizeOps& ops) {
  if (grid.granularity == Granularity::kTensor) {
    return absl::InvalidArgumentError(
        "awq_clip: the weights have one grid per tensor; expected one per channel or group, since every row is clamped "
        "by itself");
  }
  const std::vector<Columns> groups = GroupColumns(grid, w.cols());
  const int64_t count = groups.size();
  std::vector<double> best(w.rows() * count, std::numeric_limits<double>::infinity());
  Matrix result = w;
  for (int i = 0; i < options.steps; ++i) {
    const double factor = 1 - options.max_shrink * i / options.steps;
    Matrix clamped = w;
    for (int64_t r = 0; r < w.rows(); ++r) {
      for (const Columns group : groups) {
        const float limit = static_cast<float>(factor * LargestMagnitude(w, r, group));
        for (int64_t c = group.begin; c < group.end; ++c) clamped(r, c) = std::clamp(w(r, c), -limit, limit);
      }
    }
    EAQ_ASSIGN_OR_RETURN(const NearestResult q, ops.Nearest(clamped.const_view(), grid, {}));
    Matrix difference = Dequantize(q.weight);
    for (int64_t j = 0; j < w.size(); ++j) difference.data()[j] -= w.data()[j];
    for (int64_t g = 0; g < count; ++g) {
      const Columns group = groups[g];
      // outputs[token, row] = sum over the group of x (Q(clamp(w)) - w)
      const int64_t size = group.end - group.begin;
      EAQ_ASSIGN_OR_RETURN(const Matrix outputs, ops.Product(sample.const_view().Cols(group.begin, size),
                                                             difference.const_view().Cols(group.begin, size)));
      std::vector<double> error(w.rows(), 0.0);
      for (int64_t t = 0; t < outputs.rows(); ++t) {
        const double weight = token_weights.empty() ? 1.0 : token_weights[t];
        for (int64_t r = 0; r < w.rows(); ++r) error[r] += weight * (double{outputs(t, r)} * outputs(t, r));
      }
      for (int64_t r = 0; r < w.rows(); ++r) {
        if (!(error[r] < best[r * count + g])) continue;
        best[r * count + g] = error[r];
        std::copy(clamped.row(r) + group.begin, clamped.row(r) + group.end, result.row(r) + group.begin);
      }
    }
  }
  return result;
}

}  // namespace eaq

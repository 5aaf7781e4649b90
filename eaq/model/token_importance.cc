#include "eaq/model/token_importance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace eaq {

std::vector<double> AttentionReceived(const kernels::AttentionShape& shape, ConstMatrixView queries,
                                      ConstMatrixView keys) {
  const int64_t n = shape.queries, width = shape.head_dim, sharers = shape.heads / shape.kv_heads;
  std::vector<double> received(n, 0.0);
  std::vector<float> row(n);
  for (int64_t h = 0; h < shape.heads; ++h) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, i + 1 - shape.window) : 0, count = i + 1 - begin;
      const float* q = queries.row(i) + h * width;
      for (int64_t j = begin; j <= i; ++j) {
        const float* k = keys.row(j) + h / sharers * width;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < width; ++c) sum += q[c] * k[c];
        row[j - begin] = sum * shape.scale;
      }
      kernels::SoftmaxRows(row.data(), count, row.data(), count, 1, count);
      for (int64_t j = begin; j <= i; ++j) received[j] += row[j - begin];
    }
  }
  for (int64_t t = 0; t < n; ++t) {
    const int64_t seen_by = shape.window > 0 ? std::min(n - t, shape.window) : n - t;
    received[t] /= static_cast<double>(shape.heads * seen_by);
  }
  return received;
}

std::vector<uint8_t> MostImportant(absl::Span<const double> received, ConstMatrixView hidden, double share) {
  const int64_t n = hidden.rows;
  std::vector<uint8_t> chosen(n, 0);
  if (!(share > 0)) return chosen;
  std::vector<double> importance(n);
  for (int64_t t = 0; t < n; ++t) {
    double norm = 0;
    for (const float x : hidden.row_span(t)) norm += std::fabs(x);
    importance[t] = received[t] * norm;
  }
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return importance[a] > importance[b]; });
  const int64_t count = std::max<int64_t>(1, static_cast<int64_t>(std::floor(share * static_cast<double>(n))));
  for (int64_t i = 0; i < std::min(count, n); ++i) chosen[order[i]] = 1;
  return chosen;
}

}  // namespace eaq

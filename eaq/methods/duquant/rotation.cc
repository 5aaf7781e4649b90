#include "eaq/methods/duquant/rotation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "kernels/cpu/gemm.h"
#include "third_party/eigen/dense.h"

namespace eaq::duquant {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Extremes {
  double range = 0;
  int64_t index = 0;  // of the entry of larger magnitude; the largest when they are equal in that
};

// Of Y[n], the first of equals each way.
Extremes FindExtremes(const float* y, int64_t n) {
  float max = y[0], min = y[0];
#pragma omp simd reduction(max : max) reduction(min : min)
  for (int64_t i = 0; i < n; ++i) {
    max = y[i] > max ? y[i] : max;
    min = y[i] < min ? y[i] : min;
  }
  const float wanted = std::fabs(max) > std::fabs(min) ? max : min;
  int64_t index = 0;
  while (index + 1 < n && y[index] != wanted) ++index;
  return {double{max} - min, index};
}

// Swaps columns 0 and E of Y[rows, b].
void SwapColumns(float* y, int64_t rows, int64_t b, int64_t e) {
  if (e == 0) return;
  for (int64_t r = 0; r < rows; ++r) std::swap(y[r * b], y[r * b + e]);
}

// The orthogonal matrix next to R: two steps of Newton's iteration R <- R (3 - R^T R) / 2, whose error is squared each
// time (1e-5 after 256 products in float32, 1e-10, 1e-16 after rounding).
Matrix Orthogonalised(const float* r, int64_t b) {
  RowMajor m(b, b);
  for (int64_t i = 0; i < b * b; ++i) m.data()[i] = r[i];
  for (int step = 0; step < 2; ++step) m = 0.5 * m * (3 * RowMajor::Identity(b, b) - m.transpose() * m);
  Matrix result(b, b);
  for (int64_t i = 0; i < b * b; ++i) result.data()[i] = static_cast<float>(m.data()[i]);
  return result;
}

}  // namespace

int64_t BlockFor(int64_t width, int64_t limit) {
  int64_t b = 1;
  while (2 * b <= limit && width % (2 * b) == 0) b *= 2;
  return b;
}

std::vector<double> HelmertBase(int64_t n) {
  std::vector<double> m(n * n, 0.0);
  for (int64_t r = 0; r + 1 < n; ++r) {
    const double d = std::sqrt(static_cast<double>(r + 1) * static_cast<double>(r + 2));
    for (int64_t c = 0; c <= r; ++c) m[r * n + c] = 1 / d;
    m[r * n + r + 1] = -static_cast<double>(r + 1) / d;
  }
  for (int64_t c = 0; c < n; ++c) m[(n - 1) * n + c] = 1 / std::sqrt(static_cast<double>(n));
  for (int64_t c = 0; c < n; ++c) std::swap(m[c], m[(n - 1) * n + c]);
  for (int64_t r = 0; r < n; ++r) std::swap(m[r * n], m[r * n + n - 1]);
  return m;
}

std::vector<double> RandomOrthogonal(int64_t n, Rng& rng) {
  std::vector<double> q(n * n);
  if (n == 0) return q;
  RowMajor gaussian(n, n);
  for (int64_t i = 0; i < n * n; ++i) gaussian.data()[i] = rng.Normal();
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(gaussian);
  const RowMajor full = qr.householderQ();
  std::copy_n(full.data(), n * n, q.begin());
  return q;
}

std::vector<double> RandomBase(int64_t n, Rng& rng) {
  const std::vector<double> base = HelmertBase(n), q = RandomOrthogonal(n - 1, rng);
  const Eigen::Map<const RowMajor> b(base.data(), n, n), random(q.data(), n - 1, n - 1);
  std::vector<double> result(n * n);
  Eigen::Map<RowMajor> r(result.data(), n, n);
  r.col(0) = b.col(0);
  if (n > 1) r.rightCols(n - 1) = b.rightCols(n - 1) * random;
  return result;
}

GreedyRotation FindRotation(const Matrix& x, const RotationOptions& options, Rng& rng) {
  const int64_t b = options.block, rows = x.size() / b;
  const std::vector<double> exact = RandomBase(b, rng);
  const std::vector<float> base(exact.begin(), exact.end());
  GreedyRotation result;
  // The product is carried as b more rows below x: [x as blocks; 1] goes through the steps, and becomes [x R; R].
  std::vector<float> y(x.size() + b * b, 0.0f), next(y.size());
  std::copy_n(x.data(), x.size(), y.begin());
  for (int64_t i = 0; i < b; ++i) y[x.size() + i * b + i] = 1;
  const auto product = [&] { return y.data() + x.size(); };
  const auto step = [&](int64_t e) {
    SwapColumns(y.data(), rows + b, b, e);
    kernels::Gemm(false, false, rows + b, b, b, 1.0f, y.data(), b, base.data(), b, 0.0f, next.data(), b);
    y.swap(next);
    SwapColumns(y.data(), rows + b, b, e);
  };
  if (rows == 0) {
    step(0);
    result.steps = 1;
    result.rotation = Orthogonalised(product(), b);
    return result;
  }
  Extremes now = FindExtremes(y.data(), x.size());
  result.before = result.after = now.range;
  std::vector<float> best(product(), product() + b * b);
  for (int s = 1; s <= options.steps; ++s) {
    step(options.pick == Pick::kChannel ? now.index % b : now.index / b % b);
    now = FindExtremes(y.data(), x.size());
    if (now.range < result.after) {
      result.after = now.range;
      result.steps = s;
      std::copy_n(product(), b * b, best.begin());
    }
  }
  result.rotation = Orthogonalised(best.data(), b);
  return result;
}

void RotateBlocks(const Matrix& rotation, Matrix& x) {
  const int64_t b = rotation.rows();
  const Matrix copy = x;
  kernels::Gemm(false, false, x.size() / b, b, b, 1.0f, copy.data(), b, rotation.data(), b, 0.0f, x.data(), b);
}

std::vector<int32_t> ZigzagOrder(const Matrix& x, int64_t block) {
  const int64_t width = x.cols(), blocks = width / block;
  std::vector<float> largest(width, 0.0f);
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < width; ++c) largest[c] = std::max(largest[c], std::fabs(x(r, c)));
  std::vector<int32_t> sorted(width);
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t c) { return largest[a] > largest[c]; });
  std::vector<int32_t> order(width);
  for (int64_t i = 0; i < width; ++i) {
    const int64_t round = i / blocks, turn = i % blocks;
    order[(round % 2 == 0 ? turn : blocks - 1 - turn) * block + round] = sorted[i];
  }
  return order;
}

}  // namespace eaq::duquant

#include "eaq/quant/hadamard.h"

#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"

namespace eaq {

void WalshHadamard(absl::Span<double> v) {
  const size_t n = v.size();
  // H_2m = [[H_m, H_m], [H_m, -H_m]]: butterflies at distance 1, 2, 4, ...
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t begin = 0; begin < n; begin += 2 * half) {
      for (size_t i = begin; i < begin + half; ++i) {
        const double a = v[i], b = v[i + half];
        v[i] = a + b;
        v[i + half] = a - b;
      }
    }
  }
  const double factor = 1.0 / std::sqrt(static_cast<double>(n));
  for (double& value : v) value *= factor;
}

absl::StatusOr<RandomHadamard> RandomHadamard::Create(int64_t n, uint64_t seed, absl::string_view stream) {
  if (n < 1 || !std::has_single_bit(static_cast<uint64_t>(n))) {
    return absl::InvalidArgumentError(absl::StrCat("Hadamard rotation of ", n, " channels: expected a power of two"));
  }
  RandomHadamard q;
  Rng rng(seed, stream);
  q.signs_.reserve(n);
  for (int64_t i = 0; i < n; ++i) q.signs_.push_back(rng.Below(2) == 0 ? 1.0 : -1.0);
  return q;
}

// x Q = (x diag(signs)) H / sqrt(n), H symmetric.
void RandomHadamard::ApplyRight(MatrixView w) const {
  std::vector<double> v(size());
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) v[c] = signs_[c] * w(r, c);
    WalshHadamard(absl::MakeSpan(v));
    for (int64_t c = 0; c < w.cols; ++c) w(r, c) = static_cast<float>(v[c]);
  }
}

// x Q^T = (x H / sqrt(n)) diag(signs).
void RandomHadamard::ApplyTransposedRight(MatrixView w) const {
  std::vector<double> v(size());
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) v[c] = w(r, c);
    WalshHadamard(absl::MakeSpan(v));
    for (int64_t c = 0; c < w.cols; ++c) w(r, c) = static_cast<float>(signs_[c] * v[c]);
  }
}

// Q^T W, column by column: Q^T x = H diag(signs) x / sqrt(n).
void RandomHadamard::ApplyTransposedLeft(MatrixView w) const {
  std::vector<double> v(size());
  for (int64_t c = 0; c < w.cols; ++c) {
    for (int64_t r = 0; r < w.rows; ++r) v[r] = signs_[r] * w(r, c);
    WalshHadamard(absl::MakeSpan(v));
    for (int64_t r = 0; r < w.rows; ++r) w(r, c) = static_cast<float>(v[r]);
  }
}

}  // namespace eaq

#include "eaq/methods/quarot/rotation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "eaq/base/rng.h"
#include "eaq/tensor/hadamard.h"

namespace eaq {

absl::StatusOr<Rotation> Rotation::Hadamard(int64_t n, uint64_t seed) {
  auto random = RandomHadamard::Create(n, seed, "quarot/residual");
  if (!random.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("quarot.residual: the model's width is ", n,
                                                   ", for which no Hadamard matrix is known; use residual: ORTHOGONAL ",
                                                   "(", random.status().message(), ")"));
  }
  Rotation q(n);
  q.signs_ = random->signs();
  return q;
}

Rotation Rotation::Orthogonal(int64_t n, uint64_t seed) {
  Rotation q(n);
  Rng rng(seed, "quarot/residual");
  q.matrix_.resize(n * n);
  for (double& value : q.matrix_) value = rng.Normal();
  // Gram-Schmidt, every row twice: once leaves an error of condition * epsilon, twice one of epsilon.
  for (int64_t i = 0; i < n; ++i) {
    double* row = &q.matrix_[i * n];
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t j = 0; j < i; ++j) {
        const double* other = &q.matrix_[j * n];
        double dot = 0;
        for (int64_t k = 0; k < n; ++k) dot += row[k] * other[k];
        for (int64_t k = 0; k < n; ++k) row[k] -= dot * other[k];
      }
      double norm = 0;
      for (int64_t k = 0; k < n; ++k) norm += row[k] * row[k];
      norm = std::sqrt(norm);
      for (int64_t k = 0; k < n; ++k) row[k] /= norm;
    }
  }
  return q;
}

void Rotation::Turn(double* rows, int64_t count) const {
  std::vector<double> x(size_);
  for (double* row = rows; row < rows + count * size_; row += size_) {
    if (!signs_.empty()) {
      for (int64_t k = 0; k < size_; ++k) row[k] *= signs_[k];
      HadamardTransform(absl::MakeSpan(row, size_));
      continue;
    }
    std::copy_n(row, size_, x.begin());
    std::fill_n(row, size_, 0.0);
    for (int64_t k = 0; k < size_; ++k)
      for (int64_t j = 0; j < size_; ++j) row[j] += x[k] * matrix_[k * size_ + j];
  }
}

}  // namespace eaq

// An orthogonal matrix Q [n, n] that turns the residual stream: a random Hadamard matrix or a random orthogonal one.
//
//   EAQ_ASSIGN_OR_RETURN(const Rotation q, Rotation::Hadamard(hidden, seed));
//   q.Turn(rows, n);       // every row x of rows[n, hidden] becomes x Q, in float64
#ifndef EAQ_METHODS_QUAROT_ROTATION_H_
#define EAQ_METHODS_QUAROT_ROTATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace eaq {

class Rotation {
 public:
  // Q = diag(random signs) H / sqrt(n). InvalidArgument where no Hadamard matrix of this order is known.
  static absl::StatusOr<Rotation> Hadamard(int64_t n, uint64_t seed);
  // The orthogonal factor of a Gaussian matrix, signs fixed so that Q is uniformly distributed (the triangular factor
  // has a positive diagonal). n^3 operations, and n^2 for every row turned.
  static Rotation Orthogonal(int64_t n, uint64_t seed);

  int64_t size() const { return size_; }
  // ROWS[count, size()] <- ROWS Q.
  void Turn(double* rows, int64_t count) const;

 private:
  explicit Rotation(int64_t n) : size_(n) {}
  int64_t size_;
  std::vector<double> signs_;   // Hadamard
  std::vector<double> matrix_;  // orthogonal: [n, n]
};

}  // namespace eaq

#endif  // EAQ_METHODS_QUAROT_ROTATION_H_

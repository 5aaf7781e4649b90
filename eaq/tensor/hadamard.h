// The fast Walsh-Hadamard transform with random signs: the cheap random rotation of QuaRot (Ashkboos et al., 2024;
// specs/base_quantizers.md, section 6). It spreads an outlier over all channels and keeps every length and angle.
//
//   EAQ_ASSIGN_OR_RETURN(auto q, RandomHadamard::Create(hidden, seed, "rotation/residual"));
//   q.ApplyRight(w.view());           // W <- W Q        readers of the residual: q k v gate up router head; embedding
//   q.ApplyTransposedLeft(w.view());  // W <- Q^T W      writers: o, down
//
// Q = diag(signs) H / sqrt(n) with H the Hadamard matrix of Sylvester's construction (n a power of two), or of the
// orders below; Q Q^T = I. Computed in float64 and rounded once.
#ifndef EAQ_TENSOR_HADAMARD_H_
#define EAQ_TENSOR_HADAMARD_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// v <- H v / sqrt(n) in n log2(n) additions; n = v.size() must be a power of two. Its own inverse.
void WalshHadamard(absl::Span<double> v);
void WalshHadamard(absl::Span<float> v);

// Hadamard matrices of other orders: n = c 2^k, H = C (x) Sylvester(2^k), where C of order c comes from quadratic
// residues (Paley, 1933): c = p + 1 with a prime p = 3 mod 4, or c = 2 (p + 1) with a prime p = 1 mod 4. So 12, 20, 24,
// 28, 36, 44, 60, 96, 1536 and many more; powers of two have c = 1.
bool HadamardExists(int64_t n);
// v <- v^T H / sqrt(n), n = v.size(), which must exist. For powers of two the same as WalshHadamard.
void HadamardTransform(absl::Span<double> v);
void HadamardTransform(absl::Span<float> v);
// v <- v^T H^T / sqrt(n): undoes HadamardTransform.
void HadamardInverse(absl::Span<double> v);
// Additions that one transform costs.
int64_t HadamardOperations(int64_t n);

class RandomHadamard {
 public:
  // Signs from the stream `stream` of `seed`. InvalidArgument unless HadamardExists(n).
  static absl::StatusOr<RandomHadamard> Create(int64_t n, uint64_t seed, absl::string_view stream);

  int64_t size() const { return static_cast<int64_t>(signs_.size()); }
  const std::vector<double>& signs() const { return signs_; }

  // w[rows, n] <- w Q: every row x becomes x Q.
  void ApplyRight(MatrixView w) const;
  // w[rows, n] <- w Q^T: undoes ApplyRight.
  void ApplyTransposedRight(MatrixView w) const;
  // w[n, cols] <- Q^T w: what a writer needs so that its output y becomes y Q.
  void ApplyTransposedLeft(MatrixView w) const;

 private:
  std::vector<double> signs_;  // +1 or -1
};

}  // namespace eaq

#endif  // EAQ_TENSOR_HADAMARD_H_

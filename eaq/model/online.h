// What a transform leaves to be done at run time: the rows that a linear reads become x' = x T before they are
// quantized and multiplied, while the weight already carries the inverse, so that x' W'^T = x W^T.
//
//   OnlineTransform t;
//   t.steps.push_back(OnlineStep::Rotate(r1));        // x <- x R in every block of r1.rows() channels
//   t.steps.push_back(OnlineStep::Permute(order));    // x'[j] = x[order[j]]
//   t.FoldIntoWeight(linear.weight.view());           // W <- W T^-T
//   linear.online = std::make_shared<const OnlineTransform>(std::move(t));
//
// Sources: DuQuant (rotation, permutation, rotation), QuaRot (Hadamard), smoothing that cannot be folded (divide).
#ifndef EAQ_MODEL_ONLINE_H_
#define EAQ_MODEL_ONLINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct OnlineStep {
  enum class Kind {
    kDivide,   // x[j] /= divisors[j]
    kRotate,   // every block of b channels: x <- x R, R[b, b], the same for all blocks
    kPermute,  // x'[j] = x[permutation[j]]
    // every `block` channels that lie `stride` apart: x <- x H / sqrt(block), H of order `block` (tensor/hadamard.h).
    // Rows are cut into pieces of block * stride channels, [block, stride]; H runs over the first index. With stride =
    // head_dim it mixes heads.
    kHadamard,
  };
  Kind kind = Kind::kDivide;
  std::vector<float> divisors;       // [width]
  Matrix rotation;                   // [b, b]
  std::vector<int32_t> permutation;  // [width]
  int64_t block = 0;
  int64_t stride = 1;

  // DIVISORS are rounded to float16 likewise; below 2^-14 they become 2^-14.
  static OnlineStep Divide(std::vector<float> divisors);
  // ROTATION is rounded to float16, in which it is stored; a weight takes the inverse of what was rounded, so that
  // nothing is lost.
  static OnlineStep Rotate(Matrix rotation);
  static OnlineStep Permute(std::vector<int32_t> permutation);
  static OnlineStep Hadamard(int64_t block, int64_t stride = 1);
  friend bool operator==(const OnlineStep&, const OnlineStep&) = default;
};

struct OnlineTransform {
  std::vector<OnlineStep> steps;  // applied in order

  // InvalidArgument unless every step fits rows of WIDTH channels: finite divisors that are not 0, R square with
  // R R^T = 1 within 1e-2 and b a divisor of WIDTH, a permutation of 0 .. WIDTH-1, a Hadamard order that exists.
  absl::Status Validate(int64_t width) const;

  // x[n, width] <- x T, in float32. A row's result depends on that row alone up to the rounding of the product.
  void ApplyToInput(MatrixView x) const;
  // w[out, width] <- w T^-T, so that ApplyToInput(x) w'^T = x w^T; in float64, rounded once.
  void FoldIntoWeight(MatrixView w) const;
  // g[n, width] <- g T^T: the gradient of ApplyToInput's result becomes that of its input.
  void ApplyToGradient(MatrixView g) const;
  // The same in float64 for proofs: rows of WIDTH doubles.
  void ApplyToInput(double* rows, int64_t n, int64_t width) const;
  void FoldIntoWeight(double* rows, int64_t n, int64_t width) const;

  // Multiply-adds (additions of a Hadamard count) of one row of WIDTH channels; a permutation costs none.
  int64_t OperationsPerRow(int64_t width) const;
  // What must be stored: divisors and R as float16, a permutation in 16 bits an entry (32 above 65536), nothing for a
  // Hadamard.
  int64_t StoredBytes() const;
  std::string ToString() const;  // "rotate 32, permute, rotate 32"
  friend bool operator==(const OnlineTransform&, const OnlineTransform&) = default;
};

}  // namespace eaq

#endif  // EAQ_MODEL_ONLINE_H_

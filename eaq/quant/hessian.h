// The second moment of a linear's inputs, H = sum over tokens of weight * x x^T: what GPTQ minimises against.
// (The references keep (2/n) H; the solver does not care about the factor.)
//
//   HessianAccumulator acc(in_features);
//   acc.Add(x);                         // [n, in], as often as needed
//   Hessian h = acc.Finish();
//
// Tokens are gathered into fixed blocks of 128; each block's product is a float32 GEMM, blocks are summed in float64 in
// order. The result therefore depends on the sequence of tokens alone, not on how calls cut it.
#ifndef EAQ_QUANT_HESSIAN_H_
#define EAQ_QUANT_HESSIAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct Hessian {
  int64_t size = 0;            // in_features
  int64_t tokens = 0;          // rows that were added
  std::vector<double> values;  // [size, size] row-major, exactly symmetric
  double at(int64_t i, int64_t j) const { return values[i * size + j]; }
};

// InvalidArgument unless x[n, SIZE] and token_weights, empty or [n], finite and >= 0.
absl::Status CheckMomentRows(int64_t size, ConstMatrixView x, absl::Span<const float> token_weights);

class HessianAccumulator {
 public:
  explicit HessianAccumulator(int64_t size);

  // x[n, size]; n may be 0. `token_weights`: empty (all 1) or [n], finite and >= 0: each token's x x^T is multiplied by
  // it (MoEQuant's affinity-guided GPTQ). InvalidArgument: wrong widths or weights. NaN in x is found by the solver.
  absl::Status Add(ConstMatrixView x, absl::Span<const float> token_weights = {});
  int64_t tokens() const { return hessian_.tokens; }

  // Sums what is pending and returns the result; the accumulator is empty afterwards.
  Hessian Finish();

 private:
  void Flush();
  Matrix pending_;  // [128, size], `filled_` rows in use
  int64_t filled_ = 0;
  Hessian hessian_;
};

}  // namespace eaq

#endif  // EAQ_QUANT_HESSIAN_H_

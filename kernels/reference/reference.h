// The definition of right: every op of kernels/backend.h, naive, in double precision, written from the formula.
#ifndef KERNELS_REFERENCE_REFERENCE_H_
#define KERNELS_REFERENCE_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace eaq::kernels::reference {

using Doubles = std::vector<double>;  // row-major, contiguous

// C[m,n] = op(A) op(B); A stored [m,k] or [k,m], B stored [k,n] or [n,k].
Doubles Gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const Doubles& a, const Doubles& b);
Doubles RmsNorm(const Doubles& x, const Doubles& weight, double eps, int64_t rows, int64_t n);
Doubles RotaryHalfSplit(const Doubles& x, const Doubles& cosines, const Doubles& sines, int64_t rows, int64_t heads,
                        int64_t head_dim);
Doubles SoftmaxRows(const Doubles& x, int64_t rows, int64_t n);
Doubles SiluMul(const Doubles& gate, const Doubles& up);
std::vector<int32_t> TopK(const Doubles& scores, int64_t k);
double LogSumExp(const Doubles& x);
Divergence Diverge(const Doubles& p, const Doubles& q);
Doubles Attention(const AttentionShape& shape, const Doubles& q, const Doubles& k, const Doubles& v);

}  // namespace eaq::kernels::reference

#endif  // KERNELS_REFERENCE_REFERENCE_H_

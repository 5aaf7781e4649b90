// The op interface of the hot loops: raw pointers, shapes and strides; nothing from outside kernels/ but the standard
// library. Today the CPU implements it (cpu/); a GPU backend comes in behind the same list. Every op has a naive
// double-precision twin of the same name in reference/reference.h, which the tests compare with.
//
// Rules that hold for every op: row-major; a stride counts elements from one row to the next; the result of a row
// depends on its own inputs alone, not on the thread, the time or (unless said) the rows beside it; nothing allocates
// except Attention. The dense product itself is in cpu/gemm.h.
#ifndef KERNELS_BACKEND_H_
#define KERNELS_BACKEND_H_

#include <cstdint>

namespace eaq::kernels {

// y_i = x_i / sqrt(mean(x^2) + eps) * weight_i per row of [rows, n]. The mean of squares is summed in float64 over the
// float32 squares. y may be x.  (Zhang & Sennrich, "Root Mean Square Layer Normalization", 2019, eq. 4)
void RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy, int64_t rows,
             int64_t n);

// In place, half-split rotary embedding (Su et al., 2021; the "NeoX" pairing): for each of HEADS heads of a row,
//   y_i = x_i cos_i - x_{i+d/2} sin_i,  y_{i+d/2} = x_{i+d/2} cos_i + x_i sin_i,  i < d/2.
// cosines, sines: [rows, head_dim / 2], the angles of each row's position.
void RotaryHalfSplit(float* x, int64_t ldx, const float* cosines, const float* sines, int64_t rows, int64_t heads,
                     int64_t head_dim);

// p_i = exp(x_i - max x) / sum, per row of [rows, n]; n >= 1. y may be x. Relative error of a value below
// 4e-7 + (n + |x_i - max x|) * 2^-24: the terms of the sum and the rounding of the difference.
void SoftmaxRows(const float* x, int64_t ldx, float* y, int64_t ldy, int64_t rows, int64_t n);

// out_i = silu(gate_i) * up_i, silu(z) = z / (1 + exp(-z)), over N contiguous numbers. out may be gate or up.
void SiluMul(const float* gate, const float* up, float* out, int64_t n);

// y += a * x over N numbers.
void Axpy(float a, const float* x, float* y, int64_t n);

// The K largest of scores[n], falling; the lowest index wins a tie; NaN counts as the smallest. 1 <= k <= n.
void TopK(const float* scores, int64_t n, int64_t k, int32_t* indices);

// log(sum_i exp(x_i)) in float64: the normaliser of a log-probability.
double LogSumExp(const float* x, int64_t n);

// What two rows of logits say about each other, p and q their softmax, in float64.
struct Divergence {
  double log_sum_p = 0;  // LogSumExp of each
  double log_sum_q = 0;
  // KL(p || q) = sum_i p_i (log p_i - log q_i), nats; never below 0 by rounding; not finite for bad input.
  double kl = 0;
  bool agree = false;  // both have their largest logit, the first of equals, at the same place
};
Divergence Diverge(const float* p, const float* q, int64_t n);

// Causal attention of one sequence. Query row i has position first + i and sees the keys j with j <= first + i and,
// when window > 0, j > first + i - window. Query head h reads key/value head h / (heads / kv_heads).
//   out[i, h] = sum_j softmax_j(scale * q[i, h] . k[j, h']) v[j, h']
// q, out: [queries, heads * head_dim]; k, v: [first + queries, kv_heads * head_dim], keys already rotated. out must not
// overlap. Worked in blocks of query rows with dense products: memory grows with the keys, not with their square.
struct AttentionShape {
  int64_t queries = 0;
  int64_t first = 0;  // position of query row 0 = number of keys before it
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0;  // 0: all keys
  float scale = 1.0f;
};
void Attention(const AttentionShape& shape, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
               int64_t ldv, float* out, int64_t ldo);

// y[out] = W[out, in] x[in] for one row: memory-bound, so a plain loop beats a blocked product.
void MatVec(const float* w, const float* x, float* y, int64_t out, int64_t in);

}  // namespace eaq::kernels

#endif  // KERNELS_BACKEND_H_

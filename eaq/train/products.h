// The small differentiable pieces of which the passes are made: products, RMS norm, softmax, each with its gradient.
// T is float (products by kernels/cpu/gemm.h) or double (naive: the reference). Row-major; [out, in] weights.
#ifndef EAQ_TRAIN_PRODUCTS_H_
#define EAQ_TRAIN_PRODUCTS_H_

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/vector_math.h"

namespace eaq::train {

template <typename T>
inline T Exp(T x) {
  if constexpr (std::is_same_v<T, float>) return kernels::FastExp(x);
  return std::exp(x);
}

// C = alpha op(A) op(B) + beta C, as kernels::Gemm.
template <typename T>
void Product(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b,
             int64_t ldb, T beta, T* c, int64_t ldc) {
  if constexpr (std::is_same_v<T, float>) {
    kernels::Gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  } else {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += (ta ? a[l * lda + i] : a[i * lda + l]) * (tb ? b[j * ldb + l] : b[l * ldb + j]);
        c[i * ldc + j] = alpha * sum + (beta == 0 ? T(0) : beta * c[i * ldc + j]);
      }
  }
}

// y[n, out] = x[n, in] W^T + beta y
template <typename T>
void Linear(const T* x, const T* w, T* y, int64_t n, int64_t out, int64_t in, T beta = 0) {
  Product<T>(false, true, n, out, in, 1, x, in, w, in, beta, y, out);
}

// dx = dy W + beta dx;  dW += dy^T x
template <typename T>
void LinearBackward(const T* dy, const T* x, const T* w, T* dx, T* dw, int64_t n, int64_t out, int64_t in, T beta = 0) {
  Product<T>(false, false, n, in, out, 1, dy, out, w, in, beta, dx, in);
  if (n > 0) Product<T>(true, false, out, in, n, 1, dy, out, x, in, 1, dw, in);
}

// y = x r w, r = 1 / sqrt(mean x^2 + eps). Rows of x and y are ldx and ldy apart.
template <typename T>
void RmsNorm(const T* x, int64_t ldx, const T* w, T eps, T* y, int64_t ldy, T* r, int64_t n, int64_t d) {
  for (int64_t i = 0; i < n; ++i) {
    const T* a = x + i * ldx;
    T* o = y + i * ldy;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < d; ++j) sum += a[j] * a[j];
    const T ri = 1 / std::sqrt(sum / d + eps);
    r[i] = ri;
#pragma omp simd
    for (int64_t j = 0; j < d; ++j) o[j] = a[j] * ri * w[j];
  }
}

// g, ldg apart, is the gradient of y. dx = g w r - x r^3 / d (sum_j g w x), added to DX or written; dw += g x r.
// dx may be g itself.
template <typename T>
void RmsNormBackward(const T* x, int64_t ldx, const T* w, const T* r, const T* g, int64_t ldg, T* dx, int64_t lddx,
                     bool add, T* dw, int64_t n, int64_t d) {
  for (int64_t i = 0; i < n; ++i) {
    const T* a = x + i * ldx;
    const T* gi = g + i * ldg;
    T* o = dx + i * lddx;
    T s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t j = 0; j < d; ++j) s += gi[j] * w[j] * a[j];
    const T ri = r[i], c = s * ri * ri * ri / d, keep = add ? 1 : 0;
#pragma omp simd
    for (int64_t j = 0; j < d; ++j) {
      const T gj = gi[j];
      dw[j] += gj * a[j] * ri;
      o[j] = (add ? keep * o[j] : T(0)) + gj * w[j] * ri - a[j] * c;
    }
  }
}

// p = softmax(p[0, n)); returns the log-sum-exp of the logits.
template <typename T>
T Softmax(T* p, int64_t n, T scale = 1) {
  T top = p[0];
#pragma omp simd reduction(max : top)
  for (int64_t j = 0; j < n; ++j) top = p[j] > top ? p[j] : top;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < n; ++j) {
    p[j] = Exp<T>(p[j] - top);
    sum += p[j];
  }
  const T inverse = scale / sum;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) p[j] *= inverse;
  return top + std::log(sum);
}

}  // namespace eaq::train

#endif  // EAQ_TRAIN_PRODUCTS_H_

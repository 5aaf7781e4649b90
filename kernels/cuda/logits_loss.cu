#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/logits_loss.h"
#include "kernels/cuda/vector_access.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kNowhere = 0x7fffffff;

// The sum of exp(x - top) over what was seen, and of exp(x - top) * (x - y) where a second row y goes along.
struct Sums {
  float top;
  int at;  // of the first x equal to top
  double sum;
  double gap;
};
__device__ inline Sums NoSums() { return {-INFINITY, kNowhere, 0.0, 0.0}; }

// exp(x - top) for x <= top; top = -infinity stands for "nothing yet" and must not make NaN of -infinity - -infinity.
__device__ inline double Term(float x, float top) {
  const float from = top == -INFINITY ? 0.0f : top;
  return ExpOfNegative(Sub(static_cast<double>(x), static_cast<double>(from)), Sub(x, from));
}

template <int kWidth>
__device__ inline void Include(const Vector<kWidth>& x, int first, Sums* s) {
  float top = s->top;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if (x.v[i] > top) top = x.v[i], s->at = first + i;
  }
  if (top == s->top) return;
  const double shrink = Term(s->top, top);
  s->sum = Mul(s->sum, shrink);
  s->gap = Mul(s->gap, shrink);
  s->top = top;
}

// Both or either may be empty. The result does not depend on which is which.
__device__ inline Sums Merged(const Sums& a, const Sums& b) {
  Sums m;
  const bool first = a.top > b.top || (a.top == b.top && a.at < b.at);
  m.top = first ? a.top : b.top;
  m.at = first ? a.at : b.at;
  const double of_a = Term(a.top, m.top), of_b = Term(b.top, m.top);
  m.sum = Add(Mul(a.sum, of_a), Mul(b.sum, of_b));
  m.gap = Add(Mul(a.gap, of_a), Mul(b.gap, of_b));
  return m;
}

// Over the block; the result is thread 0's. scratch: kWarps.
__device__ inline Sums BlockMerged(Sums s, Sums* scratch) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    Sums other;
    other.top = __shfl_xor_sync(0xffffffffu, s.top, lanes);
    other.at = __shfl_xor_sync(0xffffffffu, s.at, lanes);
    other.sum = __shfl_xor_sync(0xffffffffu, s.sum, lanes);
    other.gap = __shfl_xor_sync(0xffffffffu, s.gap, lanes);
    s = Merged(s, other);
  }
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = s;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < kWarps; ++w) s = Merged(s, scratch[w]);
  }
  return s;
}

// The largest itself where it is infinite, unless a NaN was among the smaller ones.
__device__ inline double LogSum(const Sums& s) {
  const bool nan = s.sum != s.sum;
  if (s.top == INFINITY || (s.top == -INFINITY && !nan)) return static_cast<double>(s.top);
  return Add(static_cast<double>(s.top), log(s.sum));
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads, 4) TargetKernel(const float* logits, int64_t ld, const int32_t* targets,
                                                            double* log_probabilities, double* log_sums, int64_t n) {
  EAQ_SHARED(Sums, scratch, kWarps);
  const int64_t row = blockIdx.x;
  const float* x = logits + row * ld;
  Sums s = NoSums();
  for (int64_t at = threadIdx.x; at < n / kWidth; at += kThreads) {
    Vector<kWidth> values;
    Load(x + at * kWidth, &values);
    Include(values, static_cast<int>(at * kWidth), &s);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) s.sum = Add(s.sum, Term(values.v[i], s.top));
  }
  s = BlockMerged(s, scratch);
  if (threadIdx.x != 0) return;
  const double log_sum = LogSum(s);
  const int64_t target = targets[row];
  log_probabilities[row] =
      target >= 0 && target < n ? Sub(static_cast<double>(x[target]), log_sum) : static_cast<double>(NAN);
  if (log_sums != nullptr) log_sums[row] = log_sum;
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads, 4)
    DivergeKernel(const float* p_rows, int64_t ldp, const float* q_rows, int64_t ldq, Divergence* out, int64_t n) {
  EAQ_SHARED(Sums, scratch_p, kWarps);
  EAQ_SHARED(Sums, scratch_q, kWarps);
  const int64_t row = blockIdx.x;
  const float *p_row = p_rows + row * ldp, *q_row = q_rows + row * ldq;
  Sums p = NoSums(), q = NoSums();
  for (int64_t at = threadIdx.x; at < n / kWidth; at += kThreads) {
    Vector<kWidth> x, y;
    Load(p_row + at * kWidth, &x);
    Load(q_row + at * kWidth, &y);
    Include(x, static_cast<int>(at * kWidth), &p);
    Include(y, static_cast<int>(at * kWidth), &q);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const double term = Term(x.v[i], p.top);
      p.sum = Add(p.sum, term);
      p.gap = fma(term, Sub(static_cast<double>(x.v[i]), static_cast<double>(y.v[i])), p.gap);
      q.sum = Add(q.sum, Term(y.v[i], q.top));
    }
  }
  p = BlockMerged(p, scratch_p);
  q = BlockMerged(q, scratch_q);
  if (threadIdx.x != 0) return;
  // KL = sum_i p_i (p'_i - q'_i) - log_sum_p + log_sum_q
  Divergence d;
  d.log_sum_p = LogSum(p);
  d.log_sum_q = LogSum(q);
  const double kl = Sub(p.gap / p.sum, Sub(d.log_sum_p, d.log_sum_q));
  d.kl = kl < 0 && kl > -INFINITY ? 0.0 : kl;
  d.agree = p.at == q.at;
  out[row] = d;
}

}  // namespace

int TargetLogProbabilities(const float* logits, int64_t ld, const int32_t* targets, double* log_probabilities,
                           double* log_sums, int64_t rows, int64_t n, void* stream) {
  if (rows < 0 || n < 1 || ld < n || n >= kNowhere || rows > 0x7fffffff) return 1;
  if (rows == 0) return 0;
  const unsigned grid = static_cast<unsigned>(rows);
  if (n % 4 == 0 && FourAligned(logits, ld)) {
    EAQ_LAUNCH(TargetKernel<4>, grid, kThreads, 0, stream, logits, ld, targets, log_probabilities, log_sums, n);
  } else {
    EAQ_LAUNCH(TargetKernel<1>, grid, kThreads, 0, stream, logits, ld, targets, log_probabilities, log_sums, n);
  }
  return EAQ_LAUNCH_ERROR();
}

int DivergeRows(const float* p, int64_t ldp, const float* q, int64_t ldq, Divergence* out, int64_t rows, int64_t n,
                void* stream) {
  if (rows < 0 || n < 1 || ldp < n || ldq < n || n >= kNowhere || rows > 0x7fffffff) return 1;
  if (rows == 0) return 0;
  const unsigned grid = static_cast<unsigned>(rows);
  if (n % 4 == 0 && FourAligned(p, ldp) && FourAligned(q, ldq)) {
    EAQ_LAUNCH(DivergeKernel<4>, grid, kThreads, 0, stream, p, ldp, q, ldq, out, n);
  } else {
    EAQ_LAUNCH(DivergeKernel<1>, grid, kThreads, 0, stream, p, ldp, q, ldq, out, n);
  }
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda

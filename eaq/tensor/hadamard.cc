#include "eaq/tensor/hadamard.h"

#include <bit>
#include <cmath>
#include <map>
#include <vector>

#include "absl/base/const_init.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "eaq/base/rng.h"

namespace eaq {

namespace {

template <typename T>
void Transform(absl::Span<T> v) {
  const size_t n = v.size();
  // H_2m = [[H_m, H_m], [H_m, -H_m]]: butterflies at distance 1, 2, 4, ...
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t begin = 0; begin < n; begin += 2 * half) {
      T *low = v.data() + begin, *high = low + half;
#pragma omp simd
      for (size_t i = 0; i < half; ++i) {
        const T a = low[i], b = high[i];
        low[i] = a + b;
        high[i] = a - b;
      }
    }
  }
  const T factor = static_cast<T>(1.0 / std::sqrt(static_cast<double>(n)));
  for (T& value : v) value *= factor;
}

}  // namespace

void WalshHadamard(absl::Span<double> v) { Transform(v); }
void WalshHadamard(absl::Span<float> v) { Transform(v); }

namespace {

bool IsPrime(int64_t p) {
  if (p < 2) return false;
  for (int64_t d = 2; d * d <= p; ++d)
    if (p % d == 0) return false;
  return true;
}

// The odd-looking part of an order n: c >= 1 with n / c a power of two, the smallest for which a matrix is known; 0
// for none.
int64_t CoreOrder(int64_t n) {
  if (n < 1) return 0;
  int64_t odd = n;
  while (odd % 2 == 0) odd /= 2;
  if (odd == 1) return 1;
  for (int64_t c = 4 * odd; c <= n && n % c == 0; c *= 2) {
    if (IsPrime(c - 1) || ((c / 2 - 1) % 4 == 1 && IsPrime(c / 2 - 1))) return c;
  }
  return 0;
}

// [c, c] of +1 and -1 in row-major order.
std::vector<int8_t> MakeCore(int64_t c) {
  const bool first = IsPrime(c - 1);
  const int64_t p = first ? c - 1 : c / 2 - 1, m = p + 1;
  std::vector<int8_t> residue(p, -1);
  residue[0] = 0;
  for (int64_t x = 1; x < p; ++x) residue[x * x % p] = 1;
  // The conference matrix S [m, m]: zero diagonal, +-1 elsewhere; skew for p = 3 mod 4, symmetric for p = 1 mod 4.
  std::vector<int8_t> s(m * m, 0);
  for (int64_t j = 1; j < m; ++j) {
    s[j] = 1;
    s[j * m] = first ? -1 : 1;
    for (int64_t i = 1; i < m; ++i) s[i * m + j] = residue[((j - i) % p + p) % p];
  }
  std::vector<int8_t> h(c * c);
  if (first) {  // H = I + S
    for (int64_t i = 0; i < c; ++i)
      for (int64_t j = 0; j < c; ++j) h[i * c + j] = s[i * m + j] + (i == j ? 1 : 0);
    return h;
  }
  // H = S (x) [1 1; 1 -1] + I (x) [1 -1; -1 -1]
  constexpr int8_t kA[2][2] = {{1, 1}, {1, -1}}, kB[2][2] = {{1, -1}, {-1, -1}};
  for (int64_t i = 0; i < c; ++i)
    for (int64_t j = 0; j < c; ++j)
      h[i * c + j] = s[i / 2 * m + j / 2] * kA[i % 2][j % 2] + (i / 2 == j / 2 ? kB[i % 2][j % 2] : 0);
  return h;
}

const std::vector<int8_t>& Core(int64_t c) {
  static absl::Mutex mutex(absl::kConstInit);
  static auto* const cores = new std::map<int64_t, std::vector<int8_t>>;
  absl::MutexLock lock(&mutex);
  auto it = cores->find(c);
  if (it == cores->end()) it = cores->emplace(c, MakeCore(c)).first;
  return it->second;
}

template <typename T>
void CoreTransform(absl::Span<T> v, bool transposed) {
  const int64_t n = v.size(), c = CoreOrder(n), m = n / c;
  for (int64_t a = 0; a < c; ++a) WalshHadamard(v.subspan(a * m, m));
  if (c == 1) return;
  const std::vector<int8_t>& core = Core(c);
  const T factor = static_cast<T>(1.0 / std::sqrt(static_cast<double>(c)));
  std::vector<T> out(n, T(0));
  for (int64_t to = 0; to < c; ++to) {
    T* row = out.data() + to * m;
    for (int64_t from = 0; from < c; ++from) {
      const T sign = transposed ? core[to * c + from] : core[from * c + to];
      const T* x = v.data() + from * m;
#pragma omp simd
      for (int64_t b = 0; b < m; ++b) row[b] += sign * x[b];
    }
  }
  for (int64_t i = 0; i < n; ++i) v[i] = out[i] * factor;
}

}  // namespace

bool HadamardExists(int64_t n) { return CoreOrder(n) > 0; }
void HadamardTransform(absl::Span<double> v) { CoreTransform(v, false); }
void HadamardTransform(absl::Span<float> v) { CoreTransform(v, false); }
void HadamardInverse(absl::Span<double> v) { CoreTransform(v, true); }

int64_t HadamardOperations(int64_t n) {
  const int64_t c = CoreOrder(n);
  return n * (c > 1 ? c : 0) + n * (std::bit_width(static_cast<uint64_t>(n / c)) - 1);
}

absl::StatusOr<RandomHadamard> RandomHadamard::Create(int64_t n, uint64_t seed, absl::string_view stream) {
  if (!HadamardExists(n)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Hadamard rotation of ", n, " channels: expected a power of two, or one times 12, 20, 28, 36, ..."));
  }
  RandomHadamard q;
  Rng rng(seed, stream);
  q.signs_.reserve(n);
  for (int64_t i = 0; i < n; ++i) q.signs_.push_back(rng.Below(2) == 0 ? 1.0 : -1.0);
  return q;
}

// x Q = (x diag(signs)) H / sqrt(n).
void RandomHadamard::ApplyRight(MatrixView w) const {
  std::vector<double> v(size());
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) v[c] = signs_[c] * w(r, c);
    HadamardTransform(absl::MakeSpan(v));
    for (int64_t c = 0; c < w.cols; ++c) w(r, c) = static_cast<float>(v[c]);
  }
}

// x Q^T = (x H^T / sqrt(n)) diag(signs).
void RandomHadamard::ApplyTransposedRight(MatrixView w) const {
  std::vector<double> v(size());
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) v[c] = w(r, c);
    HadamardInverse(absl::MakeSpan(v));
    for (int64_t c = 0; c < w.cols; ++c) w(r, c) = static_cast<float>(signs_[c] * v[c]);
  }
}

// Q^T W, column by column: Q^T x = H^T diag(signs) x / sqrt(n) = ((signs x)^T H)^T / sqrt(n).
void RandomHadamard::ApplyTransposedLeft(MatrixView w) const {
  std::vector<double> v(size());
  for (int64_t c = 0; c < w.cols; ++c) {
    for (int64_t r = 0; r < w.rows; ++r) v[r] = signs_[r] * w(r, c);
    HadamardTransform(absl::MakeSpan(v));
    for (int64_t r = 0; r < w.rows; ++r) w(r, c) = static_cast<float>(v[r]);
  }
}

}  // namespace eaq

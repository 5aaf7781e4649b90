// Goto and van de Geijn's scheme (Anatomy of high-performance matrix multiplication, 2008): a tile of 6 x 16 of C lives
// in 12 of the 16 vector registers; B is packed into panels of 16 columns that stay in L1 while all tiles of a block of
// A, which stays in L2, pass by.
#include "kernels/cpu/gemm_transposed.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace eaq::kernels {
namespace {

constexpr int64_t kTileRows = 6, kTileColumns = 16;
constexpr int64_t kDepth = 256;    // of a block: a panel of B is 16 KB
constexpr int64_t kColumns = 320;  // of a block of B: 320 KB
constexpr int64_t kRows = 96;      // of a block of A: 96 KB

struct Scratch {
  static float* Allocate(int64_t n) {
    return static_cast<float*>(::operator new(n * sizeof(float), std::align_val_t(64)));
  }
  static void Free(float* p) { ::operator delete(p, std::align_val_t(64)); }
  float* const a = Allocate(kRows * kDepth);
  float* const b = Allocate(kColumns * kDepth);
  ~Scratch() { Free(a), Free(b); }
};

// Where a tile of C goes, and how: C = alpha tile + beta C.
struct Target {
  float* c;
  int64_t ldc;
  int64_t columns;  // 1 .. 16
  float alpha, beta;
};

// tile[M, 16] = sum_k A[k, .] B[k, .] for packed A[depth, 6] and B[depth, 16].
template <int M>
void Tile(int64_t depth, const float* a, const float* b, const Target& t) {
  __m256 sum[M][2];
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
  for (int64_t k = 0; k < depth; ++k) {
    const __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
    b += kTileColumns;
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) {
      const __m256 x = _mm256_broadcast_ss(a + i);
      sum[i][0] = _mm256_fmadd_ps(x, b0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(x, b1, sum[i][1]);
    }
    a += kTileRows;
  }
  // The last panel's tile is written to a copy and cut, by the same arithmetic.
  alignas(32) float edge[M][kTileColumns] = {};
  const bool whole = t.columns == kTileColumns;
  const __m256 alpha = _mm256_set1_ps(t.alpha), beta = _mm256_set1_ps(t.beta);
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
    float* const to = t.c + i * t.ldc;
    float* const c = whole ? to : edge[i];
    if (!whole && t.beta != 0) std::memcpy(c, to, t.columns * sizeof(float));
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      __m256 y = _mm256_mul_ps(alpha, sum[i][j]);
      if (t.beta != 0) y = _mm256_fmadd_ps(beta, _mm256_loadu_ps(c + 8 * j), y);
      _mm256_storeu_ps(c + 8 * j, y);
    }
    if (!whole) std::memcpy(to, c, t.columns * sizeof(float));
  }
}

void TileOf(int64_t rows, int64_t depth, const float* a, const float* b, const Target& t) {
  static constexpr void (*kTiles[])(int64_t, const float*, const float*, const Target&) = {Tile<1>, Tile<2>, Tile<3>,
                                                                                           Tile<4>, Tile<5>, Tile<6>};
  kTiles[rows - 1](depth, a, b, t);
}

// to[k][0 .. WIDTH) = from[k][0 .. used), zeros beyond.
template <int64_t kWidth>
void Pack(const float* from, int64_t stride, int64_t depth, int64_t used, float* to) {
  if (used == kWidth) {
    for (int64_t k = 0; k < depth; ++k) std::memcpy(to + k * kWidth, from + k * stride, kWidth * sizeof(float));
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    std::memcpy(to + k * kWidth, from + k * stride, used * sizeof(float));
    std::memset(to + k * kWidth + used, 0, (kWidth - used) * sizeof(float));
  }
}

}  // namespace

void GemmTransposed(int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda, const float* b,
                    int64_t ldb, float beta, float* c, int64_t ldc) {
  static thread_local const Scratch scratch;
  for (int64_t j0 = 0; j0 < n; j0 += kColumns) {
    const int64_t columns = std::min(kColumns, n - j0);
    for (int64_t k0 = 0; k0 < k; k0 += kDepth) {
      const int64_t depth = std::min(kDepth, k - k0);
      for (int64_t j = 0; j < columns; j += kTileColumns) {
        Pack<kTileColumns>(b + k0 * ldb + j0 + j, ldb, depth, std::min(kTileColumns, columns - j),
                           scratch.b + j * depth);
      }
      for (int64_t i0 = 0; i0 < m; i0 += kRows) {
        const int64_t rows = std::min(kRows, m - i0);
        for (int64_t i = 0; i < rows; i += kTileRows)
          Pack<kTileRows>(a + k0 * lda + i0 + i, lda, depth, std::min(kTileRows, rows - i), scratch.a + i * depth);
        for (int64_t j = 0; j < columns; j += kTileColumns) {
          for (int64_t i = 0; i < rows; i += kTileRows) {
            const Target target{c + (i0 + i) * ldc + j0 + j, ldc, std::min(kTileColumns, columns - j), alpha,
                                k0 == 0 ? beta : 1.0f};
            TileOf(std::min(kTileRows, rows - i), depth, scratch.a + i * depth, scratch.b + j * depth, target);
          }
        }
      }
    }
  }
}

}  // namespace eaq::kernels

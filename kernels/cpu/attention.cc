#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"

namespace eaq::kernels {

void Attention(const AttentionShape& s, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
               int64_t ldv, float* out, int64_t ldo) {
  // Blocks of 64 query rows waste at most 63 masked keys per row and keep a block's scores (64 x 4096 floats = 1 MiB)
  // within the second-level cache of most machines.
  constexpr int64_t kBlock = 64;
  const int64_t group = s.heads / s.kv_heads;
  std::vector<float> scores(std::min(kBlock, s.queries) * (s.first + s.queries));
  for (int64_t row = 0; row < s.queries; row += kBlock) {
    const int64_t rows = std::min(kBlock, s.queries - row);
    const int64_t position = s.first + row;
    const int64_t key_begin = s.window > 0 ? std::max<int64_t>(0, position - s.window + 1) : 0;
    const int64_t keys = position + rows - key_begin;  // seen by the block's last row
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t kv = h / group * s.head_dim;
      Gemm(false, true, rows, keys, s.head_dim, s.scale, q + row * ldq + h * s.head_dim, ldq, k + key_begin * ldk + kv,
           ldk, 0.0f, scores.data(), keys);
      for (int64_t i = 0; i < rows; ++i) {
        float* p = scores.data() + i * keys;
        const int64_t begin = s.window > 0 ? std::max<int64_t>(0, position + i - s.window + 1) - key_begin : 0;
        const int64_t end = position + i + 1 - key_begin;
        SoftmaxRows(p + begin, keys, p + begin, keys, 1, end - begin);
        std::fill(p, p + begin, 0.0f);
        std::fill(p + end, p + keys, 0.0f);
      }
      Gemm(false, false, rows, s.head_dim, keys, 1.0f, scores.data(), keys, v + key_begin * ldv + kv, ldv, 0.0f,
           out + row * ldo + h * s.head_dim, ldo);
    }
  }
}

}  // namespace eaq::kernels

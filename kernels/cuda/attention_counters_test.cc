// What the emulator counts of attention and of second moments, against the formulas: every MMA that the algorithm needs
// and no other, every key read once, no bank conflict.
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/attention_kv.h"
#include "kernels/cuda/hessian.h"
#include "kernels/emulation/counters.h"

namespace eaq::kernels::cuda {
namespace {

using emulation::Counters;
using emulation::ReadCounters;
using emulation::ResetCounters;

// 16-byte aligned, all 0.5.
struct Storage {
  explicit Storage(int64_t count) : values(count + 8, Bf16{0x3f00}) {}
  Bf16* data() {
    const uintptr_t address = reinterpret_cast<uintptr_t>(values.data());
    return values.data() + (16 - address % 16) % 16 / sizeof(Bf16);
  }
  std::vector<Bf16> values;
};

struct Problem {
  Problem(int32_t queries, int32_t keys, int64_t heads, int64_t kv_heads, int64_t dim)
      : query_begin{0, queries},
        key_count{keys},
        q(queries * heads * dim),
        k(keys * kv_heads * dim),
        v(keys * kv_heads * dim),
        out(queries * heads * dim) {
    batch.sequences = 1;
    batch.query_begin = query_begin, batch.key_begin = &key_begin, batch.key_count = key_count;
    batch.max_queries = queries, batch.max_keys = keys;
    batch.heads = heads, batch.kv_heads = kv_heads, batch.head_dim = dim;
  }
  int32_t query_begin[2], key_begin = 0, key_count[1];
  Storage q, k, v;
  std::vector<float> out;
  AttentionBatch batch;
};

TEST(AttentionCountersTest, PrefillDoesWhatItMustWithoutBankConflicts) {
  for (const int64_t dim : {32, 64, 128}) {
    constexpr int kQueries = 200;
    Problem p(kQueries, kQueries, 2, 1, dim);
    ResetCounters();
    ASSERT_EQ(Attention(p.batch, p.q.data(), 2 * dim, p.k.data(), dim, p.v.data(), dim, p.out.data(), 2 * dim, nullptr),
              0);
    const Counters counted = ReadCounters();
    EXPECT_EQ(counted.BankConflicts(), 0u) << dim;
    EXPECT_GT(counted.ldmatrix, 0u);
    // Per head: block 0 of 128 queries sees 2 tiles of 64 keys, block 1 sees 4. A warp of 32 rows multiplies
    // [32, dim] [dim, 64] and [32, 64] [64, dim] a tile, in MMAs of 16 x 8 x 16.
    const uint64_t mmas = 2 * 32 * 64 * dim / (16 * 8 * 16);
    EXPECT_EQ(counted.mma_bf16, 2 * (2 + 4) * 4 * mmas) << dim;
    // q once, k and v once per block that sees them: the rows that are there.
    const uint64_t rows = kQueries + 2 * (128 + 200);
    EXPECT_EQ(counted.copied_bytes, 2 * rows * dim * sizeof(Bf16)) << dim;
  }
}

// Codes: the same products, half or a quarter of the bytes of keys and values.
TEST(AttentionCountersTest, PrefillOverCodesHasNoBankConflicts) {
  for (const int64_t dim : {32, 64, 128}) {
    for (const int bits : {4, 8}) {
      constexpr int kQueries = 200;
      Problem p(kQueries, kQueries, 2, 1, dim);
      std::vector<float> x(kQueries * dim, 0.5f), k_grids(2 * kQueries), v_grids(2 * kQueries);
      Storage k(kQueries * dim), v(kQueries * dim);  // more than enough
      const int64_t ld = dim * bits / 8;
      const KvCodes keys{bits, reinterpret_cast<uint8_t*>(k.data()), ld, k_grids.data()};
      const KvCodes values{bits, reinterpret_cast<uint8_t*>(v.data()), ld, v_grids.data()};
      RowQuantizer quantizer;
      quantizer.bits = bits;
      ASSERT_EQ(QuantizeKv(x.data(), dim, kQueries, 1, dim, quantizer, keys, nullptr), 0);
      ASSERT_EQ(QuantizeKv(x.data(), dim, kQueries, 1, dim, quantizer, values, nullptr), 0);
      ResetCounters();
      ASSERT_EQ(AttentionKv(p.batch, p.q.data(), 2 * dim, keys, values, p.out.data(), 2 * dim, nullptr), 0);
      const Counters counted = ReadCounters();
      EXPECT_EQ(counted.BankConflicts(), 0u) << dim << ", " << bits;
      EXPECT_GT(counted.shared_accesses, 0u);
      // Blocks of 128 queries see 2 and 4 tiles of 64 keys; blocks of 64 (heads of 128 channels) 1, 2, 3 and 4.
      const uint64_t mmas = 2 * 16 * 64 * dim / (16 * 8 * 16), tiles = dim == 128 ? 1 + 2 + 3 + 4 : 2 * (2 + 4);
      EXPECT_EQ(counted.mma_bf16, 2 * tiles * 4 * mmas) << dim << ", " << bits;
      const uint64_t rows = dim == 128 ? 64 + 128 + 192 + 200 : 128 + 200;
      EXPECT_EQ(counted.copied_bytes, 2 * (kQueries * dim * sizeof(Bf16) + 2 * rows * ld)) << dim << ", " << bits;
      EXPECT_NEAR(p.out[5], 0.5, 0.01);
    }
  }
}

TEST(AttentionCountersTest, DecodeReadsEveryKeyOnce) {
  constexpr int64_t kDim = 128, kKeys = 512, kHeads = 8, kKvHeads = 2;
  Problem p(1, kKeys, kHeads, kKvHeads, kDim);
  std::vector<float> workspace(DecodeWorkspace(p.batch));
  ResetCounters();
  ASSERT_EQ(AttentionDecode(p.batch, p.q.data(), kHeads * kDim, p.k.data(), kKvHeads * kDim, p.v.data(),
                            kKvHeads * kDim, workspace.data(), p.out.data(), kHeads * kDim, nullptr),
            0);
  const uint64_t cache = 2 * kKeys * kKvHeads * kDim * sizeof(Bf16) / 16;
  const uint64_t queries = kKeys / kDecodeSplit * kKvHeads * 4 * 128;  // every thread of a block: its part of 4 heads
  EXPECT_EQ(ReadCounters().global_accesses_16, cache + queries);
}

TEST(HessianCountersTest, SixProductsWithoutBankConflicts) {
  constexpr int64_t kTokens = 70, kColumns = 200;
  const std::vector<float> x(kTokens * kColumns, 0.5f);
  std::vector<float> workspace(HessianWorkspace(kTokens, kColumns));
  std::vector<double> h(kColumns * kColumns, 0.0);
  ResetCounters();
  ASSERT_EQ(AddHessian(x.data(), kColumns, nullptr, h.data(), kColumns, workspace.data(), kTokens, kColumns, nullptr),
            0);
  const Counters counted = ReadCounters();
  EXPECT_EQ(counted.BankConflicts(), 0u);
  EXPECT_GT(counted.shared_accesses, 0u);
  // Three tiles of 128 x 128 on or below the diagonal, three stages of 32 tokens, six products.
  EXPECT_EQ(counted.mma_bf16, 3u * 3 * 6 * 128 * 128 * 32 / (16 * 8 * 16));
  EXPECT_EQ(h[3 * kColumns + 1], kTokens * 0.25);
}

}  // namespace
}  // namespace eaq::kernels::cuda

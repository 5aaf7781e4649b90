#include "eaq/quant/quantized_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

// Each head of each token on its own: what the row quantizer gives on a copy of that head.
TEST(QuantizedAttentionTest, EveryHeadAndTokenHasItsGrid) {
  constexpr int64_t kHead = 8, kTokens = 5;
  const GridSpec grid{.bits = 4};
  Rng rng(1, "quantized_attention_test");
  Matrix q(kTokens, 4 * kHead), k(kTokens, 2 * kHead), v(kTokens, 2 * kHead);
  for (Matrix* m : {&q, &k, &v})
    for (int64_t i = 0; i < m->size(); ++i) m->data()[i] = static_cast<float>(rng.Normal() * (1 + i % 7));
  const Matrix q0 = q, k0 = k, v0 = v;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto attention, QuantizedAttention::Create(grid, kHead, 0.9, 1.0));
  attention.Apply(q.view(), k.view(), v.view());
  const auto expect = [&](const Matrix& before, const Matrix& after, double ratio) {
    EAQ_ASSERT_OK_AND_ASSIGN(const auto row, ActivationQuantizer::Dynamic(grid, ratio));
    for (int64_t t = 0; t < kTokens; ++t)
      for (int64_t c = 0; c < before.cols(); c += kHead) {
        Matrix head(1, kHead);
        for (int64_t j = 0; j < kHead; ++j) head(0, j) = before(t, c + j);
        row.Apply(head.view());
        for (int64_t j = 0; j < kHead; ++j) EXPECT_EQ(after(t, c + j), head(0, j));
      }
  };
  expect(q0, q, 0.9);
  expect(k0, k, 0.9);
  expect(v0, v, 1.0);
  EXPECT_FALSE(q == q0);
}

TEST(QuantizedAttentionTest, RefusesBadGrids) {
  EXPECT_FALSE(QuantizedAttention::Create(GridSpec{.bits = 4}, 8, 1.5, 1).ok());
  EXPECT_FALSE(QuantizedAttention::Create(GridSpec{.bits = 1}, 8, 1, 1).ok());
}

}  // namespace
}  // namespace eaq

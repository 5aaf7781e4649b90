#include "eaq/quant/quantized_linear.h"

#include <cmath>
#include <thread>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

Matrix Random(int64_t rows, int64_t cols, uint64_t seed) {
  Rng rng(seed, "test/values");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(rng.Normal());
  return w;
}

struct Pair {
  std::unique_ptr<FakeQuantLinear> fake;
  std::unique_ptr<PackedLinear> packed;
};

Pair Make(int64_t out, int64_t in, int bits, bool with_bias, const ActivationQuantizer& activation) {
  GridSpec spec;
  spec.bits = bits;
  spec.granularity = Granularity::kGroup;
  spec.group_size = 16;
  const Matrix w = Random(out, in, 5);
  auto q = QuantizeNearest(w.view(), spec);
  EXPECT_THAT(q, IsOk());
  auto p = Pack(*q);
  EXPECT_THAT(p, IsOk());
  const Matrix b = Random(1, out, 6);
  std::vector<float> bias;
  if (with_bias) bias.assign(b.data(), b.data() + out);
  auto packed = PackedLinear::Create(*p, bias, activation);
  EXPECT_THAT(packed, IsOk());
  return {std::make_unique<FakeQuantLinear>(Dequantize(*q), bias, activation), std::move(*packed)};
}

std::vector<ActivationQuantizer> Activations() {
  GridSpec spec;
  spec.bits = 4;
  return {ActivationQuantizer(), ActivationQuantizer::Dynamic(spec, 0.9).value(),
          ActivationQuantizer::Static(spec, {-2.0f, 2.5f}).value()};
}

TEST(QuantizedLinearTest, MatchesTheNaiveProductInFloat64) {
  for (const ActivationQuantizer& activation : Activations()) {
    const Pair pair = Make(33, 70, 3, true, activation);
    const Matrix x = Random(9, 70, 7);
    const Matrix before = x;
    Matrix y(9, 33);
    pair.fake->Forward(x.view(), y.view());
    EXPECT_EQ(x, before) << "the input is left alone";
    Matrix xq = x;
    activation.Apply(xq.view());
    const Matrix bias = Random(1, 33, 6);
    for (int64_t r = 0; r < 9; ++r) {
      for (int64_t o = 0; o < 33; ++o) {
        double sum = bias(0, o), magnitude = std::fabs(sum);
        for (int64_t c = 0; c < 70; ++c) {
          const double term = static_cast<double>(xq(r, c)) * pair.fake->weight()(o, c);
          sum += term;
          magnitude += std::fabs(term);
        }
        ASSERT_NEAR(y(r, o), sum, 72 * 6e-8 * magnitude);
      }
    }
  }
}

TEST(QuantizedLinearTest, PackedAndFakeHaveEqualBits) {
  for (const ActivationQuantizer& activation : Activations()) {
    for (int bits = 2; bits <= 8; ++bits) {
      const Pair pair = Make(40, 72, bits, bits % 2 == 0, activation);
      EXPECT_EQ(pair.packed->in_features(), 72);
      EXPECT_EQ(pair.packed->out_features(), 40);
      for (const int64_t n : {0, 1, 5, 64}) {
        const Matrix x = Random(n, 72, n);
        Matrix a(n, 40), b(n, 40);
        pair.fake->Forward(x.view(), a.view());
        pair.packed->Forward(x.view(), b.view());
        EXPECT_EQ(a, b) << bits << " bits, " << n << " tokens, " << activation.ToString();
      }
    }
  }
}

TEST(QuantizedLinearTest, StridedViewsAndThreads) {
  const Pair pair = Make(24, 32, 4, true, Activations()[1]);
  const Matrix wide = Random(20, 50, 3);
  Matrix out(20, 60), expected(20, 24);
  const Matrix x(wide.view().Cols(8, 32));
  pair.fake->Forward(x.view(), expected.view());
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      const Linear& linear = t == 0 ? static_cast<const Linear&>(*pair.fake) : *pair.packed;
      for (int k = 0; k < 20; ++k) linear.Forward(wide.view().Cols(8, 32), out.view().Cols(30 * t, 24));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int64_t r = 0; r < 20; ++r) {
    for (int64_t c = 0; c < 60; ++c) {
      EXPECT_EQ(out(r, c), c % 30 < 24 ? expected(r, c % 30) : 0.0f);
    }
  }
}

TEST(QuantizedLinearTest, CreateChecksItsInput) {
  const Pair pair = Make(4, 16, 4, false, {});
  PackedMatrix bad = pair.packed->weight();
  EXPECT_THAT(PackedLinear::Create(bad, {1.0f}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("bias has 1")));
  bad.scales.pop_back();
  EXPECT_THAT(PackedLinear::Create(bad, {}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("scales")));
}

}  // namespace
}  // namespace eaq

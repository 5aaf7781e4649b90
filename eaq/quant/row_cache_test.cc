// Cached rows against rows rounded one by one, and the bytes of their pool against a packed matrix of the patch.
#include "eaq/quant/row_cache.h"

#include <cstring>
#include <utility>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/quantized_linear.h"
#include "eaq/tensor/f16.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Matrix Random(int64_t rows, int64_t cols) {
  Rng rng(7, "row_cache_test");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(0.05 * rng.Normal());
  return w;
}

// ROW of W in float16, rounded to BITS with a grid of its own for every run of GROUP columns, in double.
std::vector<double> RoundedRow(const Matrix& w, int64_t row, int bits, int64_t group) {
  std::vector<double> out;
  const double levels = (1 << bits) - 1;
  for (int64_t begin = 0; begin < w.cols(); begin += group) {
    const int64_t end = std::min(begin + group, w.cols());
    double low = 0, high = 0;
    std::vector<double> x;
    for (int64_t c = begin; c < end; ++c) {
      x.push_back(F16ToFloat(FloatToF16(w(row, c))));
      low = std::min(low, x.back());
      high = std::max(high, x.back());
    }
    const double scale = F16ToFloat(FloatToF16(static_cast<float>((high - low) / levels)));
    const double zero = std::nearbyint(-low / scale);
    for (const double v : x) {
      out.push_back(scale * (std::min(levels, std::max(0.0, std::nearbyint(v / scale) + zero)) - zero));
    }
  }
  return out;
}

TEST(RowCacheTest, PatchesAreTheRowsAtTheirWidth) {
  const Matrix w = Random(20, 33);
  for (const int64_t group : {0, 16}) {
    GridSpec grid{.bits = 4};
    if (group > 0) grid.granularity = Granularity::kGroup, grid.group_size = group;
    EAQ_ASSERT_OK_AND_ASSIGN(const RowCache cache, MakeRowCache(w.const_view(), {2, 3, 19}, grid, true));
    EXPECT_EQ(cache.bits, kAsRounded);
    const Matrix base = Dequantize(*QuantizeNearest(w.const_view(), grid));
    for (const int bits : {kAsRounded, 2, 4, 6, 8, kFloat16}) {
      Matrix patched = base;
      EAQ_ASSERT_OK(ApplyPatch(cache, bits, patched.view()));
      for (int64_t r = 0; r < w.rows(); ++r) {
        const bool cached = bits != kAsRounded && (r == 2 || r == 3 || r == 19);
        const std::vector<double> expected =
            cached && bits != kFloat16 ? RoundedRow(w, r, bits, group > 0 ? group : w.cols()) : std::vector<double>();
        for (int64_t c = 0; c < w.cols(); ++c) {
          if (!cached) {
            ASSERT_EQ(patched(r, c), base(r, c));
          } else if (bits == kFloat16) {
            ASSERT_EQ(patched(r, c), F16ToFloat(FloatToF16(w(r, c))));
          } else {
            ASSERT_NEAR(patched(r, c), expected[c], 1e-6) << bits << " " << r << " " << c;
          }
        }
      }
    }
  }
}

TEST(RowCacheTest, ThePoolHoldsThePatchAndHasRoomForEightBits) {
  const Matrix w = Random(20, 33);
  EAQ_ASSERT_OK_AND_ASSIGN(RowCache cache, MakeRowCache(w.const_view(), {0, 7}, GridSpec{}, true));
  Matrix rows(2, 33);
  for (int64_t c = 0; c < 33; ++c) {
    rows(0, c) = F16ToFloat(FloatToF16(w(0, c)));
    rows(1, c) = F16ToFloat(FloatToF16(w(7, c)));
  }
  // 33 codes, a scale of 2 bytes and a zero for each row.
  EXPECT_EQ(PatchPool(cache).value(), std::vector<uint8_t>(2 * (33 + 2 + 1), 0));
  EXPECT_EQ(RowCacheBytes(cache), 2 * 2 * 33 + 2 * 2 + 2 * 36);
  for (const int bits : {2, 3, 6, 8}) {
    cache.bits = bits;
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<uint8_t> pool, PatchPool(cache));
    const PackedMatrix p = *Pack(*QuantizeNearest(rows.const_view(), GridSpec{.bits = bits}));
    ASSERT_EQ(pool.size(), 72u);
    EXPECT_TRUE(std::equal(p.codes.begin(), p.codes.end(), pool.begin())) << bits;
    EXPECT_EQ(std::memcmp(pool.data() + p.codes.size(), p.scales.data(), 4), 0) << bits;
    EXPECT_TRUE(std::equal(p.zeros.begin(), p.zeros.end(), pool.begin() + p.codes.size() + 4)) << bits;
  }
  cache.pool = false;
  cache.bits = kFloat16;
  EXPECT_EQ(PatchPool(cache).value().size(), 0u);
  EXPECT_EQ(RowCacheBytes(cache), 2 * 2 * 33 + 2 * 2);
  EXPECT_EQ(RowCacheBytes(GridSpec{}, 1, 70000, 4, false), 2 * 4 + 4);
  EXPECT_EQ(RowCacheBytes(GridSpec{}, 0, 20, 33, true), 0);
}

TEST(RowCacheTest, PackedAndFakeQuantizedLinearsAgreeInEveryState) {
  const Matrix w = Random(24, 32), x = Random(5, 32);
  const QuantizedMatrix q = *QuantizeNearest(w.const_view(), GridSpec{.bits = 4});
  EAQ_ASSERT_OK_AND_ASSIGN(RowCache cache, MakeRowCache(w.const_view(), {1, 23}, q.grid, true));
  Matrix before;
  for (const int bits : {kAsRounded, 2, 8, kFloat16}) {
    cache.bits = bits;
    Matrix weight = Dequantize(q);
    EAQ_ASSERT_OK(ApplyPatch(cache, bits, weight.view()));
    const FakeQuantLinear fake(weight, {}, ActivationQuantizer());
    EAQ_ASSERT_OK_AND_ASSIGN(const auto packed,
                             PackedLinear::Create(*Pack(q), {}, ActivationQuantizer(), nullptr, &cache));
    Matrix a(5, 24), b(5, 24);
    fake.Forward(x.const_view(), a.view());
    packed->Forward(x.const_view(), b.view());
    EXPECT_EQ(a, b) << bits;
    EXPECT_NE(a, before) << bits;
    before = a;
  }
}

TEST(RowCacheTest, SaysWhatIsWrong) {
  Matrix w = Random(8, 4);
  const auto make = [&](std::vector<int32_t> rows) {
    return MakeRowCache(w.const_view(), std::move(rows), GridSpec{}, true).status();
  };
  EXPECT_THAT(make({}), StatusIs(kInvalid, HasSubstr("a cache of no rows")));
  EXPECT_THAT(make({3, 3}), StatusIs(kInvalid, HasSubstr("cached row 3 after 3 of 8")));
  EXPECT_THAT(make({8}), StatusIs(kInvalid, HasSubstr("cached row 8")));
  w(1, 1) = 1e6f;
  EXPECT_THAT(make({1}), StatusIs(kInvalid, HasSubstr("not finite in float16")));
  RowCache cache = *MakeRowCache(w.const_view(), {0}, GridSpec{}, false);
  EXPECT_THAT(ApplyPatch(cache, 8, w.view()), StatusIs(kInvalid, HasSubstr("without a pool")));
  cache.pool = true;
  EXPECT_THAT(ApplyPatch(cache, 9, w.view()), StatusIs(kInvalid, HasSubstr("at 9 bits")));
  cache.values.pop_back();
  EXPECT_THAT(ValidateRowCache(cache), StatusIs(kInvalid, HasSubstr("3 numbers")));
}

}  // namespace
}  // namespace eaq

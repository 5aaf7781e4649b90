#include "eaq/quant/packing.h"

#include <algorithm>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Matrix Random(int64_t rows, int64_t cols) {
  Rng rng(1, "test/weights");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(0.05 * rng.Normal());
  return w;
}

GridSpec Spec(int bits, GridKind kind, Granularity granularity, int64_t group = 0) {
  GridSpec spec;
  spec.bits = bits;
  spec.kind = kind;
  spec.granularity = granularity;
  spec.group_size = group;
  return spec;
}

TEST(PackingTest, GivesBackTheSameMatrixAndWeights) {
  for (const auto kind : {GridKind::kAsymmetric, GridKind::kSymmetricFullRange, GridKind::kSymmetricRestricted}) {
    for (int bits = 2; bits <= 8; ++bits) {
      for (const auto granularity : {Granularity::kChannel, Granularity::kTensor, Granularity::kGroup}) {
        for (const int64_t cols : {1, 7, 32, 75}) {
          const GridSpec spec = Spec(bits, kind, granularity, granularity == Granularity::kGroup ? 16 : 0);
          EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix q, QuantizeNearest(Random(5, cols).const_view(), spec));
          EAQ_ASSERT_OK_AND_ASSIGN(const PackedMatrix p, Pack(q));
          EXPECT_EQ(p.size(), PackedSize(spec, 5, cols)) << spec.ToString();
          EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix back, Unpack(p));
          EXPECT_EQ(back, q) << spec.ToString();
          Matrix w(5, cols);
          UnpackWeights(p, w.view());
          EXPECT_EQ(w, Dequantize(q)) << spec.ToString();
        }
      }
    }
  }
}

// docs/formats/packed_weights.md, the worked example.
TEST(PackingTest, TheDocumentedExample) {
  QuantizedMatrix q;
  q.grid = Spec(3, GridKind::kAsymmetric, Granularity::kGroup, 2);
  q.rows = 2;
  q.cols = 4;
  q.codes = {1, 2, 3, 4, 7, 0, 5, 6};
  q.params = {{0.5f, 1}, {1.0f, 2}, {-2.0f, 3}, {0x1p-24f, 7}};
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedMatrix p, Pack(q));
  // Row 0: 1 | 2 << 3 | 3 << 6 | 4 << 9 = 0x8d1. Row 1: 7 | 0 | 5 << 6 | 6 << 9 = 0xd47.
  EXPECT_THAT(p.codes, ElementsAre(0xd1, 0x08, 0x47, 0x0d));
  EXPECT_THAT(p.scales, ElementsAre(0x3800, 0x3c00, 0xc000, 0x0001));
  EXPECT_THAT(p.zeros, ElementsAre(0xd1, 0x0e));  // 1 | 2 << 3 | 3 << 6 | 7 << 9 = 0xed1
  const SizeAccount size = p.size();
  EXPECT_EQ(size.total_bytes(), 4 + 8 + 2);
  EXPECT_EQ(size.bits_per_weight(), 14.0);
}

TEST(PackingTest, SixBitsAreAPlaneOfFourAndAPlaneOfTwo) {
  QuantizedMatrix q;
  q.grid = Spec(6, GridKind::kSymmetricRestricted, Granularity::kChannel);
  q.rows = 2, q.cols = 5;
  q.codes = {0x3f, 0x01, 0x20, 0x15, 0x2a, 0, 1, 2, 3, 0x3c};
  q.params = {{1.0f, 32}, {1.0f, 32}};
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedMatrix p, Pack(q));
  // Row 0: low nibbles f 1 0 5 a, high pairs 3 0 2 1 2; row 1: 0 1 2 3 c, 0 0 0 0 3.
  EXPECT_THAT(p.codes, ElementsAre(0x1f, 0x50, 0x0a, 0x63, 0x02, 0x10, 0x32, 0x0c, 0x00, 0x03));
  EXPECT_EQ(p.size(), PackedSize(q.grid, 2, 5));
  EXPECT_THAT(Unpack(p), IsOkAndHolds(q));
  EXPECT_EQ(PackedRowBytes(64, 6), 48);
  EXPECT_EQ(PackedRowBytes(5, 3), 2);
}

TEST(PackingTest, BitsPerWeightOfCommonSchemes) {
  // W4 g128 asymmetric: 4 + (16 + 4) / 128; W2 g32 symmetric: 2 + 16/32.
  const auto group = Granularity::kGroup;
  EXPECT_DOUBLE_EQ(PackedSize(Spec(4, GridKind::kAsymmetric, group, 128), 64, 1024).bits_per_weight(), 4 + 20.0 / 128);
  EXPECT_DOUBLE_EQ(PackedSize(Spec(2, GridKind::kSymmetricFullRange, group, 32), 64, 1024).bits_per_weight(), 2.5);
  EXPECT_DOUBLE_EQ(PackedSize(Spec(4, GridKind::kAsymmetric, Granularity::kChannel), 64, 128).bits_per_weight(),
                   4 + 20.0 / 128);
  // A stored group index costs 16 bits per column.
  EXPECT_DOUBLE_EQ(PackedSize(Spec(4, GridKind::kSymmetricFullRange, group, 128), 64, 1024, true).bits_per_weight(),
                   4 + 16.0 / 128 + 16.0 / 64);
}

TEST(PackingTest, KeepsTheGroupIndex) {
  EAQ_ASSERT_OK_AND_ASSIGN(QuantizedMatrix q, QuantizeNearest(Random(3, 8).const_view(),
                                                              Spec(4, GridKind::kAsymmetric, Granularity::kGroup, 4)));
  q.group_of_column = {1, 0, 0, 1, 1, 0, 1, 0};
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedMatrix p, Pack(q));
  EXPECT_EQ(p.size(), PackedSize(q.grid, 3, 8, true));
  EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix back, Unpack(p));
  EXPECT_EQ(back, q);
  Matrix w(3, 8);
  UnpackWeights(p, w.view());
  EXPECT_EQ(w, Dequantize(q));
}

TEST(PackingTest, RejectsWhatCannotBeStoredOrRead) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EAQ_ASSERT_OK_AND_ASSIGN(QuantizedMatrix q, QuantizeNearest(Random(3, 8).const_view(),
                                                              Spec(4, GridKind::kAsymmetric, Granularity::kGroup, 4)));
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedMatrix good, Pack(q));
  q.params[0].scale = 0.1f;
  EXPECT_THAT(Pack(q), StatusIs(invalid, HasSubstr("not a float16")));
  PackedMatrix p = good;
  p.codes.pop_back();
  EXPECT_THAT(Unpack(p), StatusIs(invalid, HasSubstr("codes: expected 12 bytes, found 11")));
  p = good;
  p.zeros.clear();
  EXPECT_THAT(Unpack(p), StatusIs(invalid, HasSubstr("zeros")));
  p = good;
  p.scales[2] = 0x7c00;
  EXPECT_THAT(Unpack(p), StatusIs(invalid, HasSubstr("scale")));
  p = good;
  p.group_index.assign(8, 2);
  EXPECT_THAT(Unpack(p), StatusIs(invalid, HasSubstr("group index 2")));
  p = good;
  p.grid.bits = 1;
  EXPECT_THAT(Unpack(p), StatusIs(invalid, HasSubstr("1 bits")));
}

TEST(PackingTest, BinaryGridsTakeABitAWeightAndNoZeros) {
  for (const auto granularity : {Granularity::kChannel, Granularity::kTensor, Granularity::kGroup}) {
    const GridSpec spec = Spec(1, GridKind::kBinary, granularity, granularity == Granularity::kGroup ? 16 : 0);
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix q, QuantizeNearest(Random(5, 75).const_view(), spec));
    EAQ_ASSERT_OK_AND_ASSIGN(const PackedMatrix p, Pack(q));
    EXPECT_EQ(p.size(), PackedSize(spec, 5, 75));
    EXPECT_EQ(p.size().code_bytes, 5 * 10);
    EXPECT_EQ(p.size().zero_bytes, 0);
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix back, Unpack(p));
    EXPECT_EQ(back, q);
    Matrix w(5, 75);
    UnpackWeights(p, w.view());
    EXPECT_EQ(w, Dequantize(q));
  }
}

// docs/formats/packed_weights.md, the example of widths.
TEST(PackingTest, WidthsOfGroupsLieInOneStream) {
  QuantizedMatrix q;
  q.grid = Spec(2, GridKind::kAsymmetric, Granularity::kGroup, 2);
  q.rows = 1;
  q.cols = 5;
  q.group_bits = {1, 3, 2};
  q.codes = {1, 0, 5, 2, 3};
  q.params = {{0.5f, 0.5f}, {1.0f, 4}, {2.0f, 1}};
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedMatrix p, Pack(q));
  EXPECT_THAT(p.codes, ElementsAre(0x55, 0x03));  // 1 | 0 << 1 | 5 << 2 | 2 << 5 | 3 << 8 = 0x355
  EXPECT_THAT(p.zeros, ElementsAre(0x0c));        // 4 | 1 << 3; the binary group has none
  EXPECT_EQ(p.size().total_bytes(), 2 + 6 + 1 + 3);
  EXPECT_EQ(Unpack(p).value(), q);
  EXPECT_EQ(Dequantize(q)(0, 0), 0.25f);
  EXPECT_EQ(Dequantize(q)(0, 3), -2.0f);
}

TEST(PackingTest, WidthsOfGroupsGiveBackTheSameMatrix) {
  for (const auto kind : {GridKind::kAsymmetric, GridKind::kSymmetricRestricted}) {
    const GridSpec spec = Spec(3, kind, Granularity::kGroup, 16);
    const std::vector<uint8_t> widths = {2, 1, 8, 6, 4};
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix q,
                             QuantizeNearest(Random(5, 75).const_view(), spec, nullptr, widths));
    EAQ_ASSERT_OK_AND_ASSIGN(PackedMatrix p, Pack(q));
    EXPECT_EQ(p.size(), PackedSize(spec, 5, 75, false, widths));
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix back, Unpack(p));
    EXPECT_EQ(back, q);
    Matrix w(5, 75);
    UnpackWeights(p, w.view());
    EXPECT_EQ(w, Dequantize(q));
    // Each group is rounded as a matrix of its own would be.
    for (size_t g = 0; g < widths.size(); ++g) {
      const int64_t begin = 16 * g, size = std::min<int64_t>(16, 75 - begin);
      Matrix part(5, size);
      for (int64_t r = 0; r < 5; ++r) std::copy_n(Random(5, 75).row(r) + begin, size, part.row(r));
      const Matrix alone =
          Dequantize(*QuantizeNearest(part.const_view(), WithBits(Spec(3, kind, Granularity::kChannel), widths[g])));
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t c = 0; c < size; ++c) EXPECT_EQ(w(r, begin + c), alone(r, c));
      }
    }
    p.group_bits[1] = 2;
    EXPECT_THAT(ValidatePacked(p), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("codes: expected")));
    p.group_bits = {2, 9, 8, 6, 4};
    EXPECT_THAT(ValidatePacked(p), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a group of 9 bits")));
  }
}

}  // namespace
}  // namespace eaq

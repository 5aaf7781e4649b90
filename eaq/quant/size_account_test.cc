#include "eaq/quant/size_account.h"

#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(SizeAccountTest, SumsAWholeModel) {
  ModelSize size;
  EXPECT_EQ(size.bits_per_parameter(), 16.0);
  EXPECT_EQ(size.bits_per_quantized_weight(), 16.0);
  size.AddUnquantized(1000);
  EXPECT_EQ(size.bits_per_parameter(), 16.0);
  EXPECT_EQ(size.bits_per_quantized_weight(), 16.0);

  GridSpec spec;
  spec.bits = 4;
  size.AddQuantized(PackedSize(spec, 10, 100));  // 500 bytes of codes, 20 of scales, 5 of zeros
  size.AddQuantized(PackedSize(spec, 10, 100));
  EXPECT_EQ(size.quantized_linears, 2);
  EXPECT_EQ(size.parameters(), 3000);
  EXPECT_EQ(size.quantized.total_bytes(), 1050);
  EXPECT_EQ(size.total_bytes(), 3050);
  EXPECT_DOUBLE_EQ(size.bits_per_quantized_weight(), 4.2);
  EXPECT_DOUBLE_EQ(size.bits_per_parameter(), 3050 * 8 / 3000.0);
}

TEST(ModelSizeTest, PrunedWeightsWeighNothingAndStillCount) {
  ModelSize size;
  size.AddUnquantized(600);
  size.AddPruned(200);
  EXPECT_EQ(size.parameters(), 800);
  EXPECT_EQ(size.total_bytes(), 1200);
  EXPECT_DOUBLE_EQ(size.bits_per_parameter(), 12);
  EXPECT_DOUBLE_EQ(size.bits_per_quantized_weight(), 12);  // nothing is quantized: of the whole model
  GridSpec spec;
  spec.bits = 4;
  size.AddQuantized(PackedSize(spec, 10, 100));  // 525 bytes
  EXPECT_DOUBLE_EQ(size.bits_per_quantized_weight(), 525 * 8 / 1200.0);
  ModelSize sum;
  sum.Add(size);
  EXPECT_EQ(sum.parameters(), 1800);
  EXPECT_DOUBLE_EQ(sum.bits_per_quantized_weight(), 525 * 8 / 1200.0);
}

}  // namespace
}  // namespace eaq

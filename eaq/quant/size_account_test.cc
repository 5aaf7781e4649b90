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

}  // namespace
}  // namespace eaq

#include "eaq/base/bytes.h"

#include <vector>

#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(Bytes, ComeBack) {
  ByteWriter out;
  out.Number<int64_t>(-7).Text("name").Array(absl::Span<const float>({1.5f, -2.0f})).Array(absl::Span<const int>());
  ByteReader in(out.bytes());
  EXPECT_EQ(in.Number<int64_t>(), -7);
  EXPECT_EQ(in.Text(), "name");
  std::vector<float> values;
  in.Array(&values);
  EXPECT_EQ(values, (std::vector<float>{1.5f, -2.0f}));
  EXPECT_FALSE(in.Finished());
  std::vector<int> none = {1};
  in.Array(&none);
  EXPECT_TRUE(none.empty());
  EXPECT_TRUE(in.Finished());
}

TEST(Bytes, EveryTruncationIsNoticed) {
  ByteWriter out;
  out.Number<int32_t>(3).Text("abc").Array(absl::Span<const double>({1.0, 2.0}));
  for (size_t n = 0; n < out.bytes().size(); ++n) {
    ByteReader in(absl::string_view(out.bytes()).substr(0, n));
    in.Number<int32_t>();
    in.Text();
    std::vector<double> values;
    in.Array(&values);
    EXPECT_FALSE(in.Finished()) << n;
  }
}

TEST(Bytes, ALengthBeyondTheEndAllocatesNothing) {
  ByteWriter out;
  out.Number<uint64_t>(~uint64_t{0} / 8);
  ByteReader in(out.bytes());
  std::vector<double> values;
  in.Array(&values);
  EXPECT_FALSE(in.ok());
  EXPECT_TRUE(values.empty());
}

}  // namespace
}  // namespace eaq

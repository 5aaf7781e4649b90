#include "eaq/base/buffer.h"

#include <cstdint>
#include <numeric>
#include <utility>

#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(Buffer, StartsOnACacheLineAndLargeOnesOnAHugePage) {
  for (const size_t n : {1, 1000, 524287, 524288, 524289, 3000000}) {
    Buffer<float> b(n);
    const size_t alignment = n * sizeof(float) >= size_t{2} << 20 ? size_t{2} << 20 : 64;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % alignment, 0u) << n;
  }
}

// Growing crosses from small to huge pages and back; sanitizers watch the deallocations.
TEST(Buffer, KeepsItsValuesAcrossSizes) {
  Buffer<int64_t> b;
  for (int64_t i = 0; i < 600000; ++i) b.push_back(i);
  const Buffer<int64_t> copy = b;
  Buffer<int64_t> moved = std::move(b);
  moved.resize(10);
  moved.shrink_to_fit();
  EXPECT_EQ(std::accumulate(moved.begin(), moved.end(), int64_t{0}), 45);
  EXPECT_EQ(std::accumulate(copy.begin(), copy.end(), int64_t{0}), int64_t{600000} * 599999 / 2);
}

}  // namespace
}  // namespace eaq

#include "eaq/ledger/digest.h"

#include <cmath>
#include <limits>

#include "eaq/ledger/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using testing::MakeResult;

TEST(ResultDigest, IgnoresTimings) {
  const TrialResult result = MakeResult(1);
  TrialResult other = result;
  other.set_wall_seconds(99);
  other.set_peak_memory_bytes(1);
  other.set_threads(7);
  other.mutable_stage(0)->set_seconds(99);
  other.mutable_stage(0)->clear_from_cache();
  EXPECT_EQ(ResultDigest(result), ResultDigest(other));
}

TEST(ResultDigest, SeesTheLastBit) {
  const TrialResult result = MakeResult(1);
  TrialResult other = result;
  other.mutable_metric(0)->set_value(std::nextafter(result.metric(0).value(), 1e9));
  EXPECT_NE(ResultDigest(result), ResultDigest(other));
  other = result;
  other.mutable_series(0)->set_value(3, -result.series(0).value(3));
  EXPECT_NE(ResultDigest(result), ResultDigest(other));
  other = result;
  other.mutable_stage(0)->set_hash("x");
  EXPECT_NE(ResultDigest(result), ResultDigest(other));
  other = result;
  other.mutable_linear(0)->set_note("x");
  EXPECT_NE(ResultDigest(result), ResultDigest(other));
}

TEST(ResultDigest, AllNansAreOne) {
  TrialResult a = MakeResult(1), b = a;
  a.mutable_metric(2)->set_value(std::numeric_limits<double>::quiet_NaN());
  b.mutable_metric(2)->set_value(-std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(ResultDigest(a), ResultDigest(b));
}

}  // namespace
}  // namespace eaq

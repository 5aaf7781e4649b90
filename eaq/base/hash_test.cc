#include "eaq/base/hash.h"

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace eaq {
namespace {

// FIPS 180-2, appendix B, and the empty message.
TEST(Sha256Test, NistVectors) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(FingerprintTest, SameFieldsSameHash) {
  EXPECT_EQ(Fingerprint("p").Add("x").Add(3).Hex(), Fingerprint("p").Add("x").Add(3).Hex());
  EXPECT_EQ(Fingerprint("p").Hex().size(), 64u);
}

// Every pair of these lists must differ: borders between fields, types, order, lengths and purposes all count.
TEST(FingerprintTest, NoTwoListsOfFieldsCollide) {
  const std::vector<float> f12 = {1, 2}, f1 = {1}, f2 = {2};
  const std::vector<double> d1 = {1};
  const std::vector<int32_t> i1 = {1};
  std::vector<std::string> hashes = {
      Fingerprint("p").Hex(),
      Fingerprint("p").Add("").Hex(),
      Fingerprint("p").Add("").Add("").Hex(),
      Fingerprint("p").Add("ab").Hex(),
      Fingerprint("p").Add("a").Add("b").Hex(),
      Fingerprint("p").Add("b").Add("a").Hex(),
      Fingerprint("pa").Add("b").Hex(),
      Fingerprint("p").Add(std::string("a\0b", 3)).Hex(),
      Fingerprint("p").Add("1").Hex(),
      Fingerprint("p").Add(1).Hex(),
      Fingerprint("p").Add(1.0).Hex(),
      Fingerprint("p").Add(-1).Hex(),
      Fingerprint("p").Add(-0.0).Hex(),
      Fingerprint("p").Add(0.0).Hex(),
      Fingerprint("p").Add(absl::MakeConstSpan(f1)).Hex(),
      Fingerprint("p").Add(absl::MakeConstSpan(d1)).Hex(),
      Fingerprint("p").Add(absl::MakeConstSpan(i1)).Hex(),
      Fingerprint("p").Add(absl::MakeConstSpan(f12)).Hex(),
      Fingerprint("p").Add(absl::MakeConstSpan(f1)).Add(absl::MakeConstSpan(f2)).Hex(),
  };
  EXPECT_EQ(std::set<std::string>(hashes.begin(), hashes.end()).size(), hashes.size());
}

TEST(FingerprintTest, IntegersOfAnyWidthAndSignAgree) {
  EXPECT_EQ(Fingerprint("p").Add(5).Hex(), Fingerprint("p").Add(int64_t{5}).Hex());
  EXPECT_EQ(Fingerprint("p").Add(5).Hex(), Fingerprint("p").Add(uint64_t{5}).Hex());
  EXPECT_EQ(Fingerprint("p").Add(-5).Hex(), Fingerprint("p").Add(int64_t{-5}).Hex());
}

TEST(FingerprintTest, StringsOfAnyTypeAgree) {
  EXPECT_EQ(Fingerprint("p").Add("text").Hex(), Fingerprint("p").Add(std::string("text")).Hex());
  EXPECT_EQ(Fingerprint("p").Add("text").Hex(), Fingerprint("p").Add(absl::string_view("text")).Hex());
}

TEST(FingerprintTest, HexMayBeReadInTheMiddle) {
  Fingerprint running("p");
  running.Add("a");
  EXPECT_EQ(running.Hex(), Fingerprint("p").Add("a").Hex());
  running.Add("b");
  EXPECT_EQ(running.Hex(), Fingerprint("p").Add("a").Add("b").Hex());
  EXPECT_EQ(running.Hex(), running.Hex());
}

// The byte stream is one tag, the length as 8 little-endian bytes, the data: written out by hand here, so that a
// key in an old ledger stays a key.
TEST(FingerprintTest, ByteStreamIsFrozen) {
  std::string bytes = std::string("s") + std::string("\x01\0\0\0\0\0\0\0", 8) + "p";
  bytes += std::string("u") + std::string("\x08\0\0\0\0\0\0\0", 8) + std::string("\x02\x01\0\0\0\0\0\0", 8);
  const std::string hex = Fingerprint("p").Add(258).Hex();
  EXPECT_EQ(hex, Sha256Hex(bytes));
  uint64_t low = 0;
  for (int i = 7; i >= 0; --i) low = low << 8 | std::stoul(hex.substr(2 * i, 2), nullptr, 16);
  EXPECT_EQ(Fingerprint("p").Add(258).Low64(), low);
}

}  // namespace
}  // namespace eaq

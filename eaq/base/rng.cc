#include "eaq/base/rng.h"

#include <cmath>
#include <numbers>

#include "eaq/base/hash.h"

namespace eaq {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

Rng::Rng(uint64_t seed, absl::string_view stream) {
  const uint64_t mixed = Fingerprint("rng").Add(seed).Add(stream).Low64();
  key_ = {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

uint64_t Rng::Next64() {
  if (used_ >= 4) {
    block_ = Philox4x32(counter_, key_);
    for (uint32_t& word : counter_) {
      if (++word != 0) break;
    }
    used_ = 0;
  }
  const uint64_t value = block_[used_] | (uint64_t{block_[used_ + 1]} << 32);
  used_ += 2;
  return value;
}

double Rng::Uniform() { return static_cast<double>(Next64() >> 11) * 0x1p-53; }

uint64_t Rng::Below(uint64_t n) {
  const uint64_t limit = -n % n;  // 2^64 mod n: reject the draws that would favour small values
  while (true) {
    const uint64_t draw = Next64();
    if (draw >= limit) return draw % n;
  }
}

double Rng::Normal() {
  if (has_normal_) {
    has_normal_ = false;
    return normal_;
  }
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  const double angle = 2.0 * std::numbers::pi * Uniform();
  normal_ = radius * std::sin(angle);
  has_normal_ = true;
  return radius * std::cos(angle);
}

}  // namespace eaq

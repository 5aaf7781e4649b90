// Random numbers of the self-test: small, without <random>, the same on every machine.
#ifndef KERNELS_SELFTEST_RANDOM_H_
#define KERNELS_SELFTEST_RANDOM_H_

#include <cmath>
#include <cstdint>
#include <vector>

namespace eaq::kernels::selftest {

// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [0, 1).
  double Uniform() { return static_cast<double>(Bits() >> 11) * 0x1p-53; }
  // In [first, last], both possible.
  int64_t Integer(int64_t first, int64_t last) {
    return first + static_cast<int64_t>(Bits() % static_cast<uint64_t>(last - first + 1));
  }
  // Standard normal (Box and Muller).
  double Normal() {
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    return radius * std::cos(6.283185307179586 * Uniform());
  }

  // COUNT normal numbers times SCALE.
  std::vector<float> Normals(int64_t count, double scale = 1) {
    std::vector<float> values(count);
    for (float& v : values) v = static_cast<float>(scale * Normal());
    return values;
  }
  // COUNT integers in [first, last].
  template <typename T>
  std::vector<T> Integers(int64_t count, int64_t first, int64_t last) {
    std::vector<T> values(count);
    for (T& v : values) v = static_cast<T>(Integer(first, last));
    return values;
  }

 private:
  uint64_t state_;
};

}  // namespace eaq::kernels::selftest

#endif  // KERNELS_SELFTEST_RANDOM_H_

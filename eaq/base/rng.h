// The project's only source of randomness: a counter-based generator (Philox4x32-10, Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011) with one named stream per purpose.
//
//   Rng rng(seed, "calibration/windows");
//   const int64_t start = rng.Below(n);
//
// The numbers depend on (seed, stream) alone: never on the platform, the thread or the standard library. Streams
// with different names are independent, so adding a draw in one place changes nothing elsewhere.
#ifndef EAQ_BASE_RNG_H_
#define EAQ_BASE_RNG_H_

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq {

class Rng {
 public:
  Rng(uint64_t seed, absl::string_view stream);

  uint64_t Next64();
  // Uniform in [0, 1), 53 bits.
  double Uniform();
  // Uniform in [0, n), n >= 1, without modulo bias.
  uint64_t Below(uint64_t n);
  // Standard normal (Box-Muller, one of the pair kept for the next call).
  double Normal();

  // Fisher-Yates.
  template <typename T>
  void Shuffle(std::vector<T>& v) {
    for (size_t i = v.size(); i > 1; --i) std::swap(v[i - 1], v[Below(i)]);
  }

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_ = {0, 0, 0, 0};
  std::array<uint32_t, 4> block_ = {0, 0, 0, 0};
  int used_ = 4;  // words of block_ already handed out
  bool has_normal_ = false;
  double normal_ = 0;
};

// One Philox4x32-10 block; exposed for the known-answer test.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

}  // namespace eaq

#endif  // EAQ_BASE_RNG_H_

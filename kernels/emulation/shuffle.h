// Shuffles, votes, matches and reductions of a warp, by CUDA's rules. A lane that reads from a lane outside the mask,
// or from one that has returned, gets 0xff bytes (NaN, -1): on a GPU it gets anything.
#ifndef KERNELS_EMULATION_SHUFFLE_H_
#define KERNELS_EMULATION_SHUFFLE_H_

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

enum class ShuffleKind { kIndex, kUp, kDown, kXor };

uint64_t Shuffle(ShuffleKind kind, unsigned mask, uint64_t bits, int argument, int width, Site site);
unsigned Ballot(unsigned mask, bool predicate, Site site);
bool Any(unsigned mask, bool predicate, Site site);
bool All(unsigned mask, bool predicate, Site site);
unsigned MatchAny(unsigned mask, uint64_t bits, Site site);  // the lanes with the same bits
void SyncWarp(unsigned mask, Site site);

enum class Reduction { kAdd, kMin, kMax, kUnsignedMin, kUnsignedMax, kAnd, kOr, kXor };
uint32_t Reduce(Reduction reduction, unsigned mask, uint32_t value, Site site);

template <typename T>
T ShuffleValue(ShuffleKind kind, unsigned mask, T value, int argument, int width, Site site) {
  static_assert(std::is_trivially_copyable<T>::value && sizeof(T) <= 8, "shuffles move plain values of <= 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = Shuffle(kind, mask, bits, argument, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_SHUFFLE_H_

#include "kernels/emulation/shuffle.h"

#include <algorithm>

#include "kernels/emulation/report.h"
#include "kernels/emulation/warp.h"

namespace eaq::kernels::emulation {
namespace {

struct ShuffleIn {
  uint64_t bits;
  int argument, width;
};

int Source(ShuffleKind kind, int lane, int argument, int width) {
  const int first = lane & ~(width - 1), last = first + width - 1;
  switch (kind) {
    case ShuffleKind::kIndex:
      return first + (argument & (width - 1));
    case ShuffleKind::kUp:
      return lane - argument < first ? lane : lane - argument;
    case ShuffleKind::kDown:
      return lane + argument > last ? lane : lane + argument;
    case ShuffleKind::kXor:
      // Into a later group of WIDTH lanes: the lane's own. Into an earlier one: that lane (CUDA's rule).
      return (lane ^ argument) > last ? lane : lane ^ argument;
  }
  return lane;
}

template <ShuffleKind kKind>
void ComputeShuffle(Warp& warp, unsigned lanes) {
  ForLanes(lanes, [&](int lane) {
    const auto& in = In<ShuffleIn>(warp, lane);
    const int source = Source(kKind, lane, in.argument, in.width);
    Out<uint64_t>(warp, lane) = lanes >> source & 1 ? In<ShuffleIn>(warp, source).bits : ~uint64_t{0};
  });
}

const WarpOperation kShuffles[] = {
    {"__shfl_sync", &ComputeShuffle<ShuffleKind::kIndex>, false, false},
    {"__shfl_up_sync", &ComputeShuffle<ShuffleKind::kUp>, false, false},
    {"__shfl_down_sync", &ComputeShuffle<ShuffleKind::kDown>, false, false},
    {"__shfl_xor_sync", &ComputeShuffle<ShuffleKind::kXor>, false, false},
};

void ComputeBallot(Warp& warp, unsigned lanes) {
  unsigned votes = 0;
  ForLanes(lanes, [&](int lane) { votes |= static_cast<unsigned>(In<bool>(warp, lane)) << lane; });
  ForLanes(lanes, [&](int lane) { Out<uint64_t>(warp, lane) = uint64_t{lanes} << 32 | votes; });
}
const WarpOperation kBallot = {"__ballot_sync", &ComputeBallot, false, false};
const WarpOperation kAny = {"__any_sync", &ComputeBallot, false, false};
const WarpOperation kAll = {"__all_sync", &ComputeBallot, false, false};

uint64_t Vote(const WarpOperation& operation, unsigned mask, bool predicate, Site site) {
  uint64_t result = 0;
  Collective(operation, mask, &predicate, &result, site);
  return result;
}

void ComputeMatch(Warp& warp, unsigned lanes) {
  ForLanes(lanes, [&](int lane) {
    unsigned same = 0;
    ForLanes(lanes, [&](int other) {
      same |= static_cast<unsigned>(In<uint64_t>(warp, other) == In<uint64_t>(warp, lane)) << other;
    });
    Out<unsigned>(warp, lane) = same;
  });
}
const WarpOperation kMatch = {"__match_any_sync", &ComputeMatch, false, false};

const WarpOperation kSyncWarp = {"__syncwarp", nullptr, false, true};

template <Reduction kReduction>
uint32_t Combine(uint32_t a, uint32_t b) {
  switch (kReduction) {
    case Reduction::kAdd:
      return a + b;
    case Reduction::kMin:
      return static_cast<uint32_t>(std::min(static_cast<int32_t>(a), static_cast<int32_t>(b)));
    case Reduction::kMax:
      return static_cast<uint32_t>(std::max(static_cast<int32_t>(a), static_cast<int32_t>(b)));
    case Reduction::kUnsignedMin:
      return std::min(a, b);
    case Reduction::kUnsignedMax:
      return std::max(a, b);
    case Reduction::kAnd:
      return a & b;
    case Reduction::kOr:
      return a | b;
    case Reduction::kXor:
      return a ^ b;
  }
  return a;
}

template <Reduction kReduction>
void ComputeReduction(Warp& warp, unsigned lanes) {
  const int first = __builtin_ctz(lanes);
  auto total = In<uint32_t>(warp, first);
  ForLanes(lanes & (lanes - 1), [&](int lane) { total = Combine<kReduction>(total, In<uint32_t>(warp, lane)); });
  ForLanes(lanes, [&](int lane) { Out<uint32_t>(warp, lane) = total; });
}

const WarpOperation kReductions[] = {
    {"__reduce_add_sync", &ComputeReduction<Reduction::kAdd>, false, false},
    {"__reduce_min_sync", &ComputeReduction<Reduction::kMin>, false, false},
    {"__reduce_max_sync", &ComputeReduction<Reduction::kMax>, false, false},
    {"__reduce_min_sync (unsigned)", &ComputeReduction<Reduction::kUnsignedMin>, false, false},
    {"__reduce_max_sync (unsigned)", &ComputeReduction<Reduction::kUnsignedMax>, false, false},
    {"__reduce_and_sync", &ComputeReduction<Reduction::kAnd>, false, false},
    {"__reduce_or_sync", &ComputeReduction<Reduction::kOr>, false, false},
    {"__reduce_xor_sync", &ComputeReduction<Reduction::kXor>, false, false},
};

}  // namespace

uint64_t Shuffle(ShuffleKind kind, unsigned mask, uint64_t bits, int argument, int width, Site site) {
  const bool power = width >= 1 && width <= 32 && (width & (width - 1)) == 0;
  if (!power) Die("a shuffle of width %d: a power of two up to 32 (%s)", width, ToString(site).c_str());
  ShuffleIn in = {bits, argument, width};
  uint64_t out = 0;
  Collective(kShuffles[static_cast<int>(kind)], mask, &in, &out, site);
  return out;
}

unsigned Ballot(unsigned mask, bool predicate, Site site) {
  return static_cast<unsigned>(Vote(kBallot, mask, predicate, site));
}
bool Any(unsigned mask, bool predicate, Site site) {
  return static_cast<unsigned>(Vote(kAny, mask, predicate, site)) != 0;
}
bool All(unsigned mask, bool predicate, Site site) {
  const uint64_t result = Vote(kAll, mask, predicate, site);
  return static_cast<unsigned>(result) == static_cast<unsigned>(result >> 32);
}

unsigned MatchAny(unsigned mask, uint64_t bits, Site site) {
  unsigned same = 0;
  Collective(kMatch, mask, &bits, &same, site);
  return same;
}

void SyncWarp(unsigned mask, Site site) { Collective(kSyncWarp, mask, nullptr, nullptr, site); }

uint32_t Reduce(Reduction reduction, unsigned mask, uint32_t value, Site site) {
  uint32_t total = 0;
  Collective(kReductions[static_cast<int>(reduction)], mask, &value, &total, site);
  return total;
}

}  // namespace eaq::kernels::emulation

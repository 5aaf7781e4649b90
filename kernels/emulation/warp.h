// Operations that the lanes of a warp do together. Each lane leaves its operands and waits; the last one to come does
// the work for all. Internal.
//
// The meeting is checked: the same operation, mask and source line of every lane, the caller in its own mask, all 32
// lanes alive where the hardware wants a whole warp. Lanes that have returned count no more.
#ifndef KERNELS_EMULATION_WARP_H_
#define KERNELS_EMULATION_WARP_H_

#include <cstdint>

#include "kernels/emulation/site.h"
#include "kernels/emulation/thread.h"
#include "kernels/emulation/warpgroup.h"

namespace eaq::kernels::emulation {

struct WarpOperation {
  const char* name;
  void (*compute)(Warp& warp, unsigned lanes);  // for the lanes (a bit mask) that take part; null: they only meet
  bool whole_warp;                              // needs the mask of all lanes, and all alive
  bool orders_memory;                           // what a lane wrote before is seen by the others after
};

struct Warp {
  unsigned id = 0;
  uint64_t priority = 0;  // for Schedule::kOneWarpAhead
  unsigned live = 0;      // lanes that have not returned
  unsigned waiting = 0;   // lanes at a collective
  Thread* lanes[32] = {};
  WgmmaQueue wgmma;
};

constexpr unsigned kWholeWarp = 0xffffffffu;

void Collective(const WarpOperation& operation, unsigned mask, const void* in, void* out, Site site);

// A lane has returned: whoever waits for it only, goes on.
void LaneLeft(Warp& warp, unsigned lane);

template <typename T>
const T& In(const Warp& warp, int lane) {
  return *static_cast<const T*>(warp.lanes[lane]->in);
}
template <typename T>
T& Out(const Warp& warp, int lane) {
  return *static_cast<T*>(warp.lanes[lane]->out);
}
// f(lane) for every bit of LANES, lowest first.
template <typename F>
void ForLanes(unsigned lanes, F f) {
  for (; lanes != 0; lanes &= lanes - 1) f(__builtin_ctz(lanes));
}

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_WARP_H_

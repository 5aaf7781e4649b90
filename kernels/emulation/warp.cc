#include "kernels/emulation/warp.h"

#include <string>

#include "kernels/emulation/block.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {
namespace {

std::string Describe(const WarpOperation& operation, unsigned mask, const Site& site) {
  char text[32];
  snprintf(text, sizeof text, " mask %08x at ", mask);
  return operation.name + std::string(text) + ToString(site);
}

[[noreturn]] void Mismatch(const Thread& thread, const char* why) {
  std::string others;
  const Warp& warp = *thread.warp;
  ForLanes(warp.waiting & ~(1u << thread.lane), [&](int lane) {
    const Thread& other = *warp.lanes[lane];
    others += "\n  lane " + std::to_string(lane) + ": " + Describe(*other.operation, other.mask, other.site);
  });
  Die("warp %u: %s\n  lane %u: %s%s", warp.id, why, thread.lane,
      Describe(*thread.operation, thread.mask, thread.site).c_str(), others.c_str());
}

[[noreturn]] void WholeWarpMissing(const Thread& thread) {
  Mismatch(thread, "this operation needs all 32 lanes of the warp, and some have returned or never were");
}

void CheckSame(const Thread& thread, const Thread& other) {
  if (other.operation != thread.operation) Mismatch(thread, "lanes of one mask are at different operations");
  if (other.mask != thread.mask) Mismatch(thread, "lanes of one operation pass different masks");
  if (other.site != thread.site) Mismatch(thread, "lanes of one operation came by different lines");
}

// Does THREAD's operation if all whom it names have come.
bool TryComplete(Warp& warp, Thread& thread) {
  const unsigned lanes = thread.mask & warp.live;
  if ((warp.waiting & lanes) != lanes) return false;
  if (thread.operation->whole_warp && lanes != kWholeWarp) WholeWarpMissing(thread);
  ForLanes(lanes, [&](int lane) { CheckSame(thread, *warp.lanes[lane]); });
  ++thread.its_block->scheduler->counters.collectives;
  if (thread.operation->orders_memory) {
    Meet([&](auto f) { ForLanes(lanes, [&](int lane) { f(*warp.lanes[lane]); }); });
  }
  if (thread.operation->compute != nullptr) thread.operation->compute(warp, lanes);
  warp.waiting &= ~lanes;
  ForLanes(lanes, [&](int lane) {
    Thread& other = *warp.lanes[lane];
    if (other.state == Thread::State::kAtCollective) thread.its_block->scheduler->Wake(other);
  });
  return true;
}

}  // namespace

void Collective(const WarpOperation& operation, unsigned mask, const void* in, void* out, Site site) {
  Thread& thread = RunningIn(operation.name);
  Warp& warp = *thread.warp;
  thread.operation = &operation;
  thread.mask = mask;
  thread.in = in;
  thread.out = out;
  thread.site = site;
  if ((mask >> thread.lane & 1) == 0) Mismatch(thread, "the calling lane is not in its own mask");
  if (operation.whole_warp && (mask & warp.live) != kWholeWarp) WholeWarpMissing(thread);
  if (operation.orders_memory) TsanRelease(&thread.came);
  // One who waits for me at something else, while I wait for him, waits for ever: say so now.
  if (const unsigned others = warp.waiting & mask; others != 0) {
    const Thread& other = *warp.lanes[__builtin_ctz(others)];
    if (other.mask >> thread.lane & 1) CheckSame(thread, other);
  }
  warp.waiting |= 1u << thread.lane;
  if (!TryComplete(warp, thread)) {
    thread.state = Thread::State::kAtCollective;
    thread.its_block->scheduler->Block(thread);
  }
  if (operation.orders_memory) TsanAcquire(&thread.met);
}

void LaneLeft(Warp& warp, unsigned lane) {
  warp.live &= ~(1u << lane);
  for (unsigned left = warp.waiting; left != 0; left &= warp.waiting & (left - 1)) {
    Thread& other = *warp.lanes[__builtin_ctz(left)];
    if (other.mask >> lane & 1) TryComplete(warp, other);
  }
}

}  // namespace eaq::kernels::emulation

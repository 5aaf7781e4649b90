#include "kernels/emulation/atomics.h"

#include <algorithm>

#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/thread.h"

namespace eaq::kernels::emulation {

Fences::~Fences() {
  if (ghost_ != nullptr) __tsan_destroy_fiber(ghost_);
}

void Fences::Fence() {
  if (!UnderTsan()) return;
  for (void* address : touched_) TsanAcquire(address);
  touched_.clear();
  TsanRelease(&tag_);
  fenced_ = true;
}

void Fences::Before(void* address) {
  if (!UnderTsan() || !fenced_) return;
  // The atomic publishes what came before the fence, not what came after it: so the ghost does, which learns only at
  // fences.
  if (ghost_ == nullptr) ghost_ = __tsan_create_fiber(0);
  void* self = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(ghost_, kTsanNoSync);
  TsanAcquire(&tag_);
  TsanRelease(address);
  __tsan_switch_to_fiber(self, kTsanNoSync);
}

void Fences::After(void* address) {
  if (!UnderTsan()) return;
  const Quiet quiet;
  if (std::find(touched_.begin(), touched_.end(), address) == touched_.end()) touched_.push_back(address);
}

void Fences::Clear() {
  fenced_ = false;
  touched_.clear();
}

void Fence() { RunningIn("__threadfence").fences.Fence(); }
void BeforeAtomic(void* address) { RunningIn("an atomic operation").fences.Before(address); }
void AfterAtomic(void* address) { RunningIn("an atomic operation").fences.After(address); }

}  // namespace eaq::kernels::emulation

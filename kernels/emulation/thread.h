// One CUDA thread: its coordinates, its fiber, and what it waits for. Internal.
#ifndef KERNELS_EMULATION_THREAD_H_
#define KERNELS_EMULATION_THREAD_H_

#include <cstddef>

#include "kernels/emulation/async_copy.h"
#include "kernels/emulation/atomics.h"
#include "kernels/emulation/coordinates.h"
#include "kernels/emulation/fiber.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

struct Block;
struct Warp;
struct WarpOperation;
struct TransactionBarrier;

struct Thread : Coordinates {
  Thread(size_t stack_bytes, void (*entry)(void*)) : fiber(stack_bytes, entry, this) {}

  enum class State {
    kIdle,
    kReady,
    kRunning,
    kSpinning,
    kAtCollective,
    kAtBarrier,
    kAtTransactionBarrier,
    kAtClusterBarrier,
    kDone
  };

  Fiber fiber;
  Block* its_block = nullptr;
  Warp* warp = nullptr;
  unsigned index = 0;  // in its block
  State state = State::kIdle;
  Thread* next = nullptr;  // in the queue of threads that can run

  // What it brought to the collective or barrier that it waits at.
  const WarpOperation* operation = nullptr;
  unsigned mask = 0;
  const void* in = nullptr;
  void* out = nullptr;
  int barrier = 0;
  const TransactionBarrier* transaction_barrier = nullptr;
  Site site;

  // For ThreadSanitizer: what this thread did before it came to a barrier; what all who met there did before.
  char came = 0, met = 0;

  CopyQueue copies;
  Fences fences;
};

// The last thread that comes to a barrier tells ThreadSanitizer that all of them met: each one's past happened before
// everyone's future. By tags of their own, not one of the barrier: a thread that runs ahead to the next meeting would
// leave there what those who have not yet woken from this one must not know.
template <typename ForEach>
void Meet(ForEach for_each) {
  if (!UnderTsan()) return;
  for_each([](Thread& thread) { TsanAcquire(&thread.came); });
  for_each([](Thread& thread) { TsanRelease(&thread.met); });
}

// The CUDA thread that runs on this thread of the operating system, or null.
inline Thread* Running() { return static_cast<Thread*>(const_cast<Coordinates*>(running_coordinates)); }
// As above; outside a kernel, says that WHAT belongs into one.
Thread& RunningIn(const char* what);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_THREAD_H_

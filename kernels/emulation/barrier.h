// __syncthreads and PTX's numbered barriers. Internal.
#ifndef KERNELS_EMULATION_BARRIER_H_
#define KERNELS_EMULATION_BARRIER_H_

#include <vector>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

struct Block;
struct Thread;

constexpr int kBarriers = 16;

struct Barrier {
  unsigned expected = 0;  // threads; 0: all of the block that have not returned
  std::vector<Thread*> waiting;
  unsigned count_true = 0;  // of the predicates that came
  unsigned result = 0, result_threads = 0;
  Site site;
};

struct BarrierResult {
  unsigned count_true, threads;
};

// Waits at barrier ID (0 .. 15) until THREADS threads have come (0: all live ones, and then all by the same line, as
// CUDA asks of __syncthreads). What they wrote before, all of them see after.
BarrierResult ArriveAndWait(int id, int threads, bool predicate, Site site);

// A thread has returned: whoever waits for it only, goes on.
void ThreadLeftBarriers(Block& block);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_BARRIER_H_

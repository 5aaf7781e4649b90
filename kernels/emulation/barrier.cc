#include "kernels/emulation/barrier.h"

#include "kernels/emulation/block.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {
namespace {

bool TryOpen(Block& block, Barrier& barrier) {
  const unsigned needed = barrier.expected == 0 ? block.live : barrier.expected;
  if (barrier.waiting.empty() || barrier.waiting.size() < needed) return false;
  Meet([&](auto f) {
    for (Thread* thread : barrier.waiting) f(*thread);
  });
  const Quiet quiet;
  ++block.scheduler->counters.barriers;
  barrier.result = barrier.count_true;
  barrier.result_threads = static_cast<unsigned>(barrier.waiting.size());
  barrier.count_true = 0;
  for (Thread* thread : barrier.waiting) {
    if (thread->state == Thread::State::kAtBarrier) block.scheduler->Wake(*thread);
  }
  barrier.waiting.clear();
  return true;
}

}  // namespace

BarrierResult ArriveAndWait(int id, int threads, bool predicate, Site site) {
  Thread& thread = RunningIn("a barrier");
  Block& block = *thread.its_block;
  if (id < 0 || id >= kBarriers) Die("barrier %d: there are 0 to 15 (%s)", id, ToString(site).c_str());
  if (threads < 0 || threads % 32 != 0) {
    Die("barrier %d for %d threads: whole warps only (%s)", id, threads, ToString(site).c_str());
  }
  Barrier& barrier = block.barriers[id];
  const auto expected = static_cast<unsigned>(threads);
  if (barrier.waiting.empty()) {
    barrier.expected = expected;
    barrier.site = site;
  } else if (barrier.expected != expected) {
    Die("barrier %d: %u threads expected at %s, %u at %s", id, barrier.expected, ToString(barrier.site).c_str(),
        expected, ToString(site).c_str());
  } else if (threads == 0 && barrier.site != site) {
    Die("threads of one block are at different __syncthreads: %s and %s", ToString(barrier.site).c_str(),
        ToString(site).c_str());
  }
  thread.site = site;
  thread.barrier = id;
  TsanRelease(&thread.came);
  {
    const Quiet quiet;
    barrier.waiting.push_back(&thread);
  }
  barrier.count_true += predicate;
  if (!TryOpen(block, barrier)) {
    thread.state = Thread::State::kAtBarrier;
    block.scheduler->Block(thread);
  }
  TsanAcquire(&thread.met);
  return {barrier.result, barrier.result_threads};
}

void ThreadLeftBarriers(Block& block) {
  for (Barrier& barrier : block.barriers) {
    if (barrier.expected == 0 && !barrier.waiting.empty()) TryOpen(block, barrier);
  }
}

}  // namespace eaq::kernels::emulation

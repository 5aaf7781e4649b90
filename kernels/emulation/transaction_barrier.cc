#include "kernels/emulation/transaction_barrier.h"

#include "kernels/emulation/block.h"
#include "kernels/emulation/cluster.h"
#include "kernels/emulation/limits.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {
namespace {

// Stands in the barrier's place in shared memory, so that one who writes over it is found.
uint64_t MarkOf(const uint64_t* barrier) { return reinterpret_cast<uintptr_t>(barrier) ^ 0x6d62617272696572u; }

void TryComplete(TransactionBarrier& barrier) {
  if (barrier.missing != 0 || barrier.bytes != 0) return;
  barrier.missing = barrier.arrivals;
  barrier.parity ^= 1;
  const Quiet quiet;
  for (Thread* thread : barrier.waiting) thread->its_block->scheduler->Wake(*thread);
  barrier.waiting.clear();
}

void ArriveHere(TransactionBarrier& barrier, Site site) {
  if (barrier.missing == 0) {
    Die("mbarrier: one arrival more than the %u of a phase (%s)", barrier.arrivals, ToString(site).c_str());
  }
  TsanRelease(&barrier.came[barrier.parity]);
  --barrier.missing;
  TryComplete(barrier);
}

}  // namespace

TransactionBarrier& FindBarrier(Block& block, const uint64_t* barrier, bool other, const char* what, Site site) {
  const auto found = block.transaction_barriers.find(barrier);
  if (found == block.transaction_barriers.end()) {
    Die("%s: no mbarrier was initialized at that address (%s)", what, ToString(site).c_str());
  }
  if (*barrier != MarkOf(barrier)) Die("%s: the mbarrier was written over (%s)", what, ToString(site).c_str());
  if (other && !found->second.fenced) {
    Die("%s: no fence.mbarrier_init after the barrier's initialization (%s)", what, ToString(site).c_str());
  }
  return found->second;
}

void CompleteBytes(TransactionBarrier& barrier, int64_t bytes) {
  barrier.bytes -= bytes;
  TryComplete(barrier);
}

std::string Describe(const TransactionBarrier& barrier) {
  return "mbarrier of parity " + std::to_string(barrier.parity) + ": " + std::to_string(barrier.missing) + " of " +
         std::to_string(barrier.arrivals) + " arrivals and " + std::to_string(barrier.bytes) + " bytes missing";
}

void InitBarrier(uint64_t* barrier, int arrivals, Site site) {
  Block& block = *RunningIn("mbarrier.init").its_block;
  CheckHopper("mbarrier with clusters or byte counts", site);
  if (reinterpret_cast<uintptr_t>(barrier) % 8 != 0 || !block.shared.Contains(barrier, 8)) {
    Die("mbarrier.init: no 8 bytes of shared memory at a multiple of 8 (%s)", ToString(site).c_str());
  }
  if (arrivals < 1 || arrivals >= 1 << 20) Die("mbarrier.init: %d arrivals (%s)", arrivals, ToString(site).c_str());
  const Quiet quiet;
  if (block.transaction_barriers.count(barrier) != 0) {
    Die("mbarrier.init: there is one already (%s)", ToString(site).c_str());
  }
  TransactionBarrier& made = block.transaction_barriers[barrier];
  made.arrivals = made.missing = static_cast<unsigned>(arrivals);
  *barrier = MarkOf(barrier);
}

void FenceBarrierInit() {
  for (auto& [address, barrier] : RunningIn("fence.mbarrier_init").its_block->transaction_barriers) {
    barrier.fenced = true;
  }
}

void ArriveExpect(uint64_t* barrier, int64_t bytes, Site site) {
  Block& block = *RunningIn("mbarrier.arrive.expect_tx").its_block;
  TransactionBarrier& here = FindBarrier(block, barrier, false, "mbarrier.arrive.expect_tx", site);
  here.bytes += bytes;
  ArriveHere(here, site);
}

void Arrive(uint64_t* barrier, int rank, Site site) {
  Block& own = *RunningIn("mbarrier.arrive").its_block;
  if (rank < 0) return ArriveHere(FindBarrier(own, barrier, false, "mbarrier.arrive", site), site);
  Block& block = BlockOfCluster(own, rank, "mbarrier.arrive", site);
  const auto* there = static_cast<const uint64_t*>(InBlock(own, barrier, block, site));
  ArriveHere(FindBarrier(block, there, true, "mbarrier.arrive", site), site);
}

void Wait(uint64_t* barrier, uint32_t parity, Site site) {
  Thread& thread = RunningIn("mbarrier.try_wait");
  TransactionBarrier& here = FindBarrier(*thread.its_block, barrier, false, "mbarrier.try_wait", site);
  if (parity > 1) Die("mbarrier.try_wait: parity %u (%s)", parity, ToString(site).c_str());
  thread.site = site;
  if (here.parity == parity) {
    thread.transaction_barrier = &here;
    {
      const Quiet quiet;
      here.waiting.push_back(&thread);
    }
    thread.state = Thread::State::kAtTransactionBarrier;
    thread.its_block->scheduler->Block(thread);
  }
  TsanAcquire(&here.came[parity]);
}

}  // namespace eaq::kernels::emulation

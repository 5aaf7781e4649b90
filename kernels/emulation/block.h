// One block on the way: its warps, barriers and shared memory. Internal.
#ifndef KERNELS_EMULATION_BLOCK_H_
#define KERNELS_EMULATION_BLOCK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emulation/barrier.h"
#include "kernels/emulation/cluster.h"
#include "kernels/emulation/proxy.h"
#include "kernels/emulation/shared_memory.h"
#include "kernels/emulation/thread.h"
#include "kernels/emulation/transaction_barrier.h"
#include "kernels/emulation/warp.h"

namespace eaq::kernels::emulation {

class Scheduler;

struct Block {
  Scheduler* scheduler = nullptr;
  uint64_t index = 0;  // in the grid
  Dim3 position;
  unsigned live = 0;  // threads that have not returned
  std::vector<Warp> warps;
  std::vector<Thread*> threads;
  Barrier barriers[kBarriers];
  SharedMemory shared;
  TransactionBarriers transaction_barriers;
  GenericWrites generic_writes;
  std::vector<std::vector<WgmmaIssue>> wgmma_issues;  // of each warpgroup
  Cluster* cluster = nullptr;
};

// Accesses to shared memory whose warp took different ways are counted when the block ends.
void CountOpenAccesses(Block& block);

// "96 threads wait at __syncthreads (file:line): 0-95", a line for each place, for a block in which nobody can run.
std::string DescribeWaiting(const Block& block);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_BLOCK_H_

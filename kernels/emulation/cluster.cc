#include "kernels/emulation/cluster.h"

#include "kernels/emulation/block.h"
#include "kernels/emulation/faults.h"
#include "kernels/emulation/launch_log.h"
#include "kernels/emulation/limits.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {
namespace {

bool TryOpen(Cluster& cluster) {
  size_t live = 0;
  for (const Block* block : cluster.blocks) live += block->live;
  if (cluster.waiting.empty() || cluster.waiting.size() < live) return false;
  Meet([&](auto f) {
    for (Thread* thread : cluster.waiting) f(*thread);
  });
  const Quiet quiet;
  for (Thread* thread : cluster.waiting) {
    if (thread->state == Thread::State::kAtClusterBarrier) thread->its_block->scheduler->Wake(*thread);
  }
  cluster.waiting.clear();
  return true;
}

}  // namespace

void ClusterSync(Site site) {
  Thread& thread = RunningIn("barrier.cluster");
  CheckHopper("barrier.cluster", site);
  Block& block = *thread.its_block;
  if (block.cluster == nullptr) Die("barrier.cluster in a launch without clusters (%s)", ToString(site).c_str());
  thread.site = site;
  TsanRelease(&thread.came);
  {
    const Quiet quiet;
    block.cluster->waiting.push_back(&thread);
  }
  if (!TryOpen(*block.cluster)) {
    thread.state = Thread::State::kAtClusterBarrier;
    block.scheduler->Block(thread);
  }
  TsanAcquire(&thread.met);
}

void ThreadLeftCluster(Block& block) {
  if (block.cluster != nullptr) TryOpen(*block.cluster);
}

Block& BlockOfCluster(const Block& own, int rank, const char* what, Site site) {
  if (own.cluster == nullptr || rank < 0 || rank >= static_cast<int>(own.cluster->blocks.size())) {
    Die("%s: the cluster has no block %d (%s)", what, rank, ToString(site).c_str());
  }
  Block& block = *own.cluster->blocks[rank];
  if (block.live == 0) Die("%s: block %d of the cluster has ended (%s)", what, rank, ToString(site).c_str());
  return block;
}

void* InBlock(const Block& own, const void* address, const Block& block, Site site) {
  const char* const start = static_cast<const char*>(own.shared.dynamic());
  const auto offset = static_cast<const char*>(address) - start;
  if (start == nullptr || offset < 0 || offset >= static_cast<int64_t>(own.shared.dynamic_bytes())) {
    Die("an address of another block must lie in dynamic shared memory (%s)", ToString(site).c_str());
  }
  return static_cast<char*>(block.shared.dynamic()) + offset;
}

void RunClusters(const void* kernel, int cluster, const Dim3& grid, const Dim3& block, size_t dynamic_bytes,
                 void (*call)(const void*), const void* closure) {
  CheckHopper("a launch of clusters", Site());
  if (cluster < 1 || cluster > 8 || grid.x % static_cast<unsigned>(cluster) != 0) {
    Die("clusters of %d in a grid of %u blocks: 1 to 8, without a rest", cluster, grid.x);
  }
  CheckLaunch(grid, block, dynamic_bytes);
  LogLaunch({kernel, static_cast<int>(block.Count()), dynamic_bytes});
  const FaultReports reports;
  Scheduler::Own().Run(grid, block, dynamic_bytes, {call, closure}, static_cast<unsigned>(cluster));
}

}  // namespace eaq::kernels::emulation

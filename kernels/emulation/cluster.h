// Clusters: blocks that run at the same time and reach each other's shared memory (sm_90).
#ifndef KERNELS_EMULATION_CLUSTER_H_
#define KERNELS_EMULATION_CLUSTER_H_

#include <cstddef>
#include <vector>

#include "kernels/emulation/coordinates.h"
#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

struct Block;
struct Thread;

// All threads of all blocks of the cluster meet (those that have returned excepted). What they did before, all see
// after.
void ClusterSync(Site site);

// As Run (launch.h).
void RunClusters(const void* kernel, int cluster, const Dim3& grid, const Dim3& block, size_t dynamic_bytes,
                 void (*call)(const void*), const void* closure);

// As Launch (launch.h); every CLUSTER blocks that follow each other are one.
template <typename Kernel, typename... Arguments>
void LaunchClusters(int cluster, Kernel kernel, Dim3 grid, Dim3 block, size_t dynamic_bytes, Arguments... arguments) {
  const auto body = [=] { kernel(arguments...); };
  RunClusters(
      reinterpret_cast<const void*>(kernel), cluster, grid, block, dynamic_bytes,
      [](const void* closure) { (*static_cast<const decltype(body)*>(closure))(); }, &body);
}

// Internal.
struct Cluster {
  std::vector<Block*> blocks;    // by rank
  std::vector<Thread*> waiting;  // at ClusterSync
};

// Block RANK of OWN's cluster. Ends the program where there is none, or it has ended.
Block& BlockOfCluster(const Block& own, int rank, const char* what, Site site);
// The place in BLOCK's dynamic shared memory that ADDRESS is in OWN's.
void* InBlock(const Block& own, const void* address, const Block& block, Site site);
// A thread has returned: whoever waits for it only, goes on.
void ThreadLeftCluster(Block& block);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_CLUSTER_H_

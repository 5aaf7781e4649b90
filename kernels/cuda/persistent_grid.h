// How many blocks a persistent kernel is launched with: as many as run at once. Block b does pieces b, b + grid, ... of
// the work; one that could only start when others end would do its share alone. Plain constants, shared by the kernels
// and the model of their costs (kernels/roofline).
#ifndef KERNELS_CUDA_PERSISTENT_GRID_H_
#define KERNELS_CUDA_PERSISTENT_GRID_H_

#include <cstdint>

#include "kernels/architecture.h"

namespace eaq::kernels::cuda {

// What a device has, as far as a grid is sized for it.
struct Machine {
  int multiprocessors = 1;
  int64_t shared_bytes = 0;  // of a multiprocessor; 0: a block each
};

// Blocks of SHARED_BYTES each on a multiprocessor, of which other limits allow BLOCKS.
constexpr int ResidentBlocks(int blocks, int64_t shared_bytes, const Machine& machine) {
  const int64_t room = machine.shared_bytes / (shared_bytes + Architecture::kReservedBytes);
  return room >= blocks ? blocks : room > 1 ? static_cast<int>(room) : 1;
}

// Blocks of a launch that has MOST pieces of work at most.
constexpr int64_t PersistentGrid(int64_t most, int blocks, int64_t shared_bytes, const Machine& machine) {
  const int64_t fit = int64_t{machine.multiprocessors} * ResidentBlocks(blocks, shared_bytes, machine);
  return fit < most ? fit : most;
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_PERSISTENT_GRID_H_

// One .cu source, two compilers. nvcc sees CUDA; any other compiler sees this emulation, in which every CUDA thread is
// a fiber of the calling thread, so that debuggers and sanitizers work as usual: AddressSanitizer finds an overrun of
// shared memory, ThreadSanitizer a missing __syncthreads. It needs no CUDA toolkit.
//
//   __global__ void Twice(float* x, int64_t n) {
//     const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
//     if (i < n) x[i] *= 2;
//   }
//   EAQ_LAUNCH(Twice, (n + 127) / 128, 128, 0, stream, x, n);
//   return EAQ_LAUNCH_ERROR();
//
// Beside CUDA's own spelling (intrinsics.h, vector_types.h) a kernel uses only what is defined below, and PTX only
// through kernels/cuda/ptx.h. A kernel template with a comma goes into parentheses: EAQ_LAUNCH((K<1, 2>), ...).
//
// What the emulator checks, and what ends the program with a report that names threads and lines:
//   - collectives of a warp: the same operation, mask and line of every lane; barriers: enough threads, the same line;
//   - threads that wait for each other in vain: who waits where;
//   - asynchronous copies never waited for, misaligned addresses, full stacks, what no device can launch.
// What it makes visible in the results: shared memory starts as NaN, copies land at the last legal moment or the first,
// threads run in orders that no GPU would choose and any GPU may (options.h). counters.h counts work and bank
// conflicts. Not emulated: time, registers, memory order (but for ThreadSanitizer, atomics.h), textures, tensor
// maps.
#ifndef KERNELS_EMULATION_CUDA_EMULATION_H_
#define KERNELS_EMULATION_CUDA_EMULATION_H_

#if defined(__CUDACC__)

#include <cuda_runtime.h>

namespace eaq::kernels::emulation {
template <typename Kernel>
int ClustersAtOnce(Kernel* kernel, int cluster, int block, size_t shared_bytes) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(cluster), config.blockDim = dim3(block), config.dynamicSmemBytes = shared_bytes;
  config.attrs = &attribute, config.numAttrs = 1;
  int clusters = 0;
  const bool known = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(shared_bytes)) == cudaSuccess &&
                     cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) == cudaSuccess;
  return known ? clusters : 0;
}
}  // namespace eaq::kernels::emulation

// grid, block: numbers or dim3. shared_bytes: of EAQ_DYNAMIC_SHARED; above 48 KiB the kernel must be told first.
#define EAQ_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                                     \
  do {                                                                                                                 \
    const size_t eaq_shared_bytes = (shared_bytes);                                                                    \
    if (eaq_shared_bytes > 48 * 1024) {                                                                                \
      cudaFuncSetAttribute((kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(eaq_shared_bytes)); \
    }                                                                                                                  \
    (kernel)<<<(grid), (block), eaq_shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__);                   \
  } while (0)
// 0, or the cudaError_t of the launches since the last call.
#define EAQ_LAUNCH_ERROR() static_cast<int>(cudaGetLastError())
// A kernel with __cluster_dims__(cluster, 1, 1).
#define EAQ_LAUNCH_CLUSTERS(kernel, cluster, ...) EAQ_LAUNCH(kernel, __VA_ARGS__)
// How many clusters of such a kernel the device runs at once (it may be fewer than its multiprocessors have room for: a
// cluster lies in one part of the chip); 0 where it cannot. Asked for once.
#define EAQ_CLUSTERS_AT_ONCE(kernel, cluster, block, shared_bytes, multiprocessors)                                    \
  [&] {                                                                                                                \
    static const int eaq_clusters = ::eaq::kernels::emulation::ClustersAtOnce((kernel), cluster, block, shared_bytes); \
    return eaq_clusters;                                                                                               \
  }()
// An array of the block.
#define EAQ_SHARED(type, name, count) __shared__ __align__(16) type name[count]
// The block's array whose size the launch gives; one for a kernel, at a multiple of 128 bytes.
#define EAQ_DYNAMIC_SHARED(type, name)                                 \
  extern __shared__ __align__(128) unsigned char eaq_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(eaq_dynamic_shared)

#else

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/emulation/cluster.h"
#include "kernels/emulation/coordinates.h"
#include "kernels/emulation/intrinsics.h"
#include "kernels/emulation/launch.h"
#include "kernels/emulation/shared_memory.h"
#include "kernels/emulation/vector_types.h"

using dim3 = ::eaq::kernels::emulation::Dim3;
constexpr int warpSize = 32;

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __cluster_dims__(...)
#define threadIdx (::eaq::kernels::emulation::Here().thread)
#define blockIdx (::eaq::kernels::emulation::Here().block)
#define blockDim (::eaq::kernels::emulation::Here().block_size)
#define gridDim (::eaq::kernels::emulation::Here().grid_size)

#define EAQ_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ((void)(stream), ::eaq::kernels::emulation::Launch((kernel), (grid), (block), (shared_bytes), ##__VA_ARGS__))
#define EAQ_LAUNCH_ERROR() 0
#define EAQ_LAUNCH_CLUSTERS(kernel, cluster, grid, block, shared_bytes, stream, ...) \
  ((void)(stream),                                                                   \
   ::eaq::kernels::emulation::LaunchClusters((cluster), (kernel), (grid), (block), (shared_bytes), ##__VA_ARGS__))
#define EAQ_CLUSTERS_AT_ONCE(kernel, cluster, block, shared_bytes, multiprocessors) \
  ((void)(shared_bytes), std::max(1, static_cast<int>(multiprocessors) / (cluster)))
#define EAQ_SHARED(type, name, count) \
  static const char name##_key = 0;   \
  type* const name =                  \
      static_cast<type*>(::eaq::kernels::emulation::Shared(&name##_key, sizeof(type) * (count), alignof(type)))
#define EAQ_DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::eaq::kernels::emulation::DynamicShared())

#endif  // __CUDACC__

#endif  // KERNELS_EMULATION_CUDA_EMULATION_H_

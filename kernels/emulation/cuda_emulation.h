// One .cu source, two compilers. nvcc sees CUDA; any other compiler sees this emulation, in which every CUDA thread is
// a thread of the operating system, so that debuggers and sanitizers work as usual: ThreadSanitizer finds a missing
// __syncthreads, AddressSanitizer an overrun of shared memory.
//
//   __global__ void Twice(float* x, int64_t n) {
//     const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
//     if (i < n) x[i] *= 2;
//   }
//   EAQ_LAUNCH(Twice, (n + 127) / 128, 128, stream, x, n);
//
// What is emulated: a grid of blocks of up to 1024 threads, one block after the other; threadIdx, blockIdx, blockDim,
// gridDim; shared arrays (EAQ_SHARED), filled with NaN in every block; __syncthreads; shuffles of a whole warp. Threads
// may return early. Threads that wait for each other in vain end the program after 20 s with a line that says where.
// Not emulated: partial masks, atomics, tensor cores, asynchronous copies, time.
#ifndef KERNELS_EMULATION_CUDA_EMULATION_H_
#define KERNELS_EMULATION_CUDA_EMULATION_H_

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define EAQ_LAUNCH(kernel, grid, block, stream, ...) \
  (kernel)<<<(grid), (block), 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define EAQ_LAUNCH_ERROR() static_cast<int>(cudaGetLastError())
#define EAQ_SHARED(type, name, count) __shared__ type name[count]

#else

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

namespace eaq::kernels::emulation {

struct Dim3 {
  Dim3() = default;
  Dim3(int64_t x_) : x(static_cast<unsigned>(x_)) {}  // NOLINT(google-explicit-constructor): as CUDA's dim3
  Dim3(int64_t x_, int64_t y_, int64_t z_ = 1)
      : x(static_cast<unsigned>(x_)), y(static_cast<unsigned>(y_)), z(static_cast<unsigned>(z_)) {}
  unsigned x = 1, y = 1, z = 1;
};

// The coordinates of the calling CUDA thread.
struct Coordinates {
  Dim3 thread, block, block_size, grid_size;
};
const Coordinates& Here();

// Runs BODY once per CUDA thread; returns when all blocks are done.
void Run(Dim3 grid, Dim3 block, const std::function<void()>& body);

// The block's array for KEY, BYTES long, made by the first thread that asks. Bytes start as 0xff: NaN in any float.
void* Shared(const void* key, size_t bytes);
void SyncThreads(const char* file, int line);
// The 64 bits that lane SOURCE (0 .. 31) of the calling thread's warp gave in the same shuffle; an index outside the
// warp's live lanes returns the caller's own.
uint64_t Shuffle(uint64_t bits, int source, const char* file, int line);
int Lane();

template <typename T>
T ShuffleValue(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "shuffles move plain values of at most 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = Shuffle(bits, mask == 0xffffffffu ? source : -1000, file, line);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename Kernel, typename... Arguments>
void Launch(Kernel kernel, Dim3 grid, Dim3 block, Arguments... arguments) {
  Run(grid, block, [=] { kernel(arguments...); });
}

}  // namespace eaq::kernels::emulation

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define threadIdx (::eaq::kernels::emulation::Here().thread)
#define blockIdx (::eaq::kernels::emulation::Here().block)
#define blockDim (::eaq::kernels::emulation::Here().block_size)
#define gridDim (::eaq::kernels::emulation::Here().grid_size)

#define EAQ_LAUNCH(kernel, grid, block, stream, ...) \
  ((void)(stream), ::eaq::kernels::emulation::Launch(kernel, grid, block, __VA_ARGS__))
#define EAQ_LAUNCH_ERROR() 0
#define EAQ_SHARED(type, name, count) \
  static const char name##_key = 0;   \
  type* const name = static_cast<type*>(::eaq::kernels::emulation::Shared(&name##_key, sizeof(type) * (count)))

#define __syncthreads() ::eaq::kernels::emulation::SyncThreads(__FILE__, __LINE__)
#define __shfl_sync(mask, value, lane) ::eaq::kernels::emulation::ShuffleValue(mask, value, lane, __FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, lanes) \
  ::eaq::kernels::emulation::ShuffleValue(mask, value, ::eaq::kernels::emulation::Lane() ^ (lanes), __FILE__, __LINE__)

#endif  // __CUDACC__

#endif  // KERNELS_EMULATION_CUDA_EMULATION_H_

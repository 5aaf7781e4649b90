// Where a CUDA thread stands: dim3, threadIdx, blockIdx, blockDim, gridDim.
#ifndef KERNELS_EMULATION_COORDINATES_H_
#define KERNELS_EMULATION_COORDINATES_H_

#include <cstdint>

namespace eaq::kernels::emulation {

struct Dim3 {
  Dim3() = default;
  Dim3(int64_t x_) : x(static_cast<unsigned>(x_)) {}  // NOLINT(google-explicit-constructor): as CUDA's dim3
  Dim3(int64_t x_, int64_t y_, int64_t z_ = 1)
      : x(static_cast<unsigned>(x_)), y(static_cast<unsigned>(y_)), z(static_cast<unsigned>(z_)) {}
  uint64_t Count() const { return uint64_t{x} * y * z; }
  unsigned x = 1, y = 1, z = 1;
};

struct Coordinates {
  Dim3 thread, block, block_size, grid_size;
  unsigned lane = 0;
};

// Of the CUDA thread that runs on this thread of the operating system; null outside kernels. __thread, not
// thread_local: no guard to test at every threadIdx.x.
extern __thread const Coordinates* running_coordinates;

inline const Coordinates& Here() { return *running_coordinates; }

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_COORDINATES_H_

// How many blocks of a kernel a multiprocessor runs at once: the rules of CUDA's own calculator (cuda_occupancy.h) for
// compute capabilities 8.0 to 12.0 without its options. occupancy_test holds them equal where there is a toolkit.
#ifndef KERNELS_ROOFLINE_OCCUPANCY_H_
#define KERNELS_ROOFLINE_OCCUPANCY_H_

#include <cstdint>

#include "kernels/architecture.h"

namespace eaq::kernels::roofline {

struct BlockNeeds {
  int threads = 1;
  int registers = 0;         // of a thread; 0: not counted
  int64_t shared_bytes = 0;  // static and dynamic, without the system's
};

struct Occupancy {
  int blocks = 0;  // 0: the device refuses the launch
  int warps = 0;   // of those blocks
  // What runs out first: "threads", "blocks", "registers" or "shared"; of several the first of these.
  const char* limit = "";
};

Occupancy OccupancyOf(const BlockNeeds& needs, const Architecture& architecture);

}  // namespace eaq::kernels::roofline

#endif  // KERNELS_ROOFLINE_OCCUPANCY_H_

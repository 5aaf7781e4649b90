// What this core can do at most: the yardstick of `eaq bench`.
#ifndef KERNELS_CPU_PEAK_H_
#define KERNELS_CPU_PEAK_H_

#include <cstdint>

namespace eaq::kernels {

// Runs ITERATIONS rounds of independent fused multiply-adds that stay in registers, in the widest vectors of this CPU,
// and returns the floating-point operations done (two per multiply-add and lane).
int64_t FmaLoop(int64_t iterations);

}  // namespace eaq::kernels

#endif  // KERNELS_CPU_PEAK_H_

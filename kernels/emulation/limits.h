// What a device refuses to launch: kernels/architecture.h, and CUDA C Programming Guide, appendix "Compute
// Capabilities".
#ifndef KERNELS_EMULATION_LIMITS_H_
#define KERNELS_EMULATION_LIMITS_H_

#include <cstddef>

#include "kernels/emulation/coordinates.h"
#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

// The most shared memory that a block may have, static and dynamic together; static alone has 48 KiB.
size_t MaxSharedBytes(int architecture);

// Die where a device would refuse. The architecture is that of CurrentOptions().
void CheckLaunch(const Dim3& grid, const Dim3& block, size_t dynamic_bytes);
void CheckSharedMemory(size_t static_bytes, size_t dynamic_bytes);
// WHAT is of sm_90 alone.
void CheckHopper(const char* what, Site site);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_LIMITS_H_

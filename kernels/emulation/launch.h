// Runs a kernel on the calling thread, and returns when all its blocks have ended.
#ifndef KERNELS_EMULATION_LAUNCH_H_
#define KERNELS_EMULATION_LAUNCH_H_

#include <cstddef>

#include "kernels/emulation/coordinates.h"
#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

// A launch of the function KERNEL, each of whose threads does call(closure).
void Run(const void* kernel, const Dim3& grid, const Dim3& block, size_t dynamic_bytes, void (*call)(const void*),
         const void* closure);

template <typename Kernel, typename... Arguments>
void Launch(Kernel kernel, Dim3 grid, Dim3 block, size_t dynamic_bytes, Arguments... arguments) {
  const auto body = [=] { kernel(arguments...); };
  Run(
      reinterpret_cast<const void*>(kernel), grid, block, dynamic_bytes,
      [](const void* closure) { (*static_cast<const decltype(body)*>(closure))(); }, &body);
}

// Of a thread that waits for another block's word: the others get their turn.
void Spin(Site site);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_LAUNCH_H_

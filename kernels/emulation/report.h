// How the emulator says that a kernel is wrong: one paragraph on the terminal, then abort().
#ifndef KERNELS_EMULATION_REPORT_H_
#define KERNELS_EMULATION_REPORT_H_

#include <string>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

// Prints "CUDA emulation: " and the message, and which CUDA thread of which block was running, if one was.
[[noreturn]] void Die(const char* format, ...) __attribute__((format(printf, 1, 2)));

std::string ToString(const Site& site);  // "path:line"

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_REPORT_H_

#include "kernels/emulation/report.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/emulation/coordinates.h"

namespace eaq::kernels::emulation {

__thread const Coordinates* running_coordinates = nullptr;

bool operator==(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

std::string ToString(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }

void Die(const char* format, ...) {
  fputs("CUDA emulation: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  if (const Coordinates* at = running_coordinates) {
    fprintf(stderr, "\n  in thread (%u,%u,%u) of block (%u,%u,%u), lane %u", at->thread.x, at->thread.y, at->thread.z,
            at->block.x, at->block.y, at->block.z, at->lane);
  }
  fputs("\n", stderr);
  fflush(stderr);
  std::abort();
}

}  // namespace eaq::kernels::emulation

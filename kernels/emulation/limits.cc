#include "kernels/emulation/limits.h"

#include <string>

#include "kernels/architecture.h"
#include "kernels/emulation/options.h"
#include "kernels/emulation/report.h"

namespace eaq::kernels::emulation {

size_t MaxSharedBytes(int architecture) {
  const Architecture* found = FindArchitecture(architecture);
  if (found != nullptr) return static_cast<size_t>(found->BlockBytes());
  std::string known;
  for (const Architecture& a : kArchitectures) known += " " + std::to_string(a.number);
  Die("architecture %d: its limits are not known here (only%s: kernels/architecture.h)", architecture, known.c_str());
}

void CheckLaunch(const Dim3& grid, const Dim3& block, size_t dynamic_bytes) {
  if (block.Count() < 1 || block.Count() > Architecture::kBlockThreads) {
    Die("a block has 1 to %d threads, not %u x %u x %u", Architecture::kBlockThreads, block.x, block.y, block.z);
  }
  if (block.z > 64) Die("a block is at most 64 deep, not %u", block.z);
  if (grid.Count() == 0) Die("a grid has at least one block, not %u x %u x %u", grid.x, grid.y, grid.z);
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    Die("a grid of %u x %u x %u blocks: at most 2^31 - 1, 65535, 65535", grid.x, grid.y, grid.z);
  }
  CheckSharedMemory(0, dynamic_bytes);
}

void CheckHopper(const char* what, Site site) {
  const int architecture = CurrentOptions().architecture;
  if (architecture != 90) {
    Die("%s on sm_%d: only sm_90 has it (Options::architecture) (%s)", what, architecture, ToString(site).c_str());
  }
}

void CheckSharedMemory(size_t static_bytes, size_t dynamic_bytes) {
  if (static_bytes > 48 << 10) Die("%zu bytes of EAQ_SHARED: at most 48 KiB, more only as dynamic", static_bytes);
  const int architecture = CurrentOptions().architecture;
  if (static_bytes + dynamic_bytes > MaxSharedBytes(architecture)) {
    Die("%zu bytes of shared memory (%zu of them dynamic): sm_%d has %zu for a block (Options::architecture)",
        static_bytes + dynamic_bytes, dynamic_bytes, architecture, MaxSharedBytes(architecture));
  }
}

}  // namespace eaq::kernels::emulation

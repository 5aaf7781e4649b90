// What a multiprocessor of each compute capability holds at once: CUDA C Programming Guide, appendix "Compute
// Capabilities". One table for what the emulator refuses (kernels/emulation/limits.h) and for how many blocks run at
// once (kernels/roofline/occupancy.h).
#ifndef KERNELS_ARCHITECTURE_H_
#define KERNELS_ARCHITECTURE_H_

#include <cstdint>

namespace eaq::kernels {

struct Architecture {
  int number;  // 80: compute capability 8.0
  int threads, blocks;
  int64_t shared_bytes;

  static constexpr int kRegisters = 64 << 10, kBlockThreads = 1024;
  // Of shared_bytes, in every block, for the system.
  static constexpr int64_t kReservedBytes = 1024;
  // The most that a block may have, static and dynamic together.
  constexpr int64_t BlockBytes() const { return shared_bytes - kReservedBytes; }
};

inline constexpr Architecture kArchitectures[] = {
    {80, 2048, 32, 164 << 10}, {86, 1536, 16, 100 << 10},  {87, 1536, 16, 164 << 10},  {89, 1536, 24, 100 << 10},
    {90, 2048, 32, 228 << 10}, {100, 2048, 32, 228 << 10}, {120, 1536, 24, 100 << 10},
};

// Null: not in the table.
constexpr const Architecture* FindArchitecture(int number) {
  for (const Architecture& a : kArchitectures) {
    if (a.number == number) return &a;
  }
  return nullptr;
}

}  // namespace eaq::kernels

#endif  // KERNELS_ARCHITECTURE_H_

#include "kernels/roofline/occupancy.h"

#include <utility>

namespace eaq::kernels::roofline {
namespace {

constexpr int64_t RoundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// A multiprocessor has four parts, each with its own registers, which a warp gets by 256.
int64_t BlocksByRegisters(int registers, int64_t warps) {
  constexpr int64_t kParts = 4, kUnit = 256, kMost = 256;
  if (registers == 0) return INT32_MAX;
  const int64_t of_warp = RoundUp(int64_t{registers} * 32, kUnit);
  // The device refuses a block as if all parts had as many warps as the fullest.
  if (registers > kMost || of_warp * RoundUp(warps, kParts) > Architecture::kRegisters) return 0;
  return Architecture::kRegisters / kParts / of_warp * kParts / warps;
}

int64_t BlocksByShared(int64_t bytes, const Architecture& a) {
  constexpr int64_t kUnit = 128;
  if (bytes > a.BlockBytes()) return 0;
  return a.shared_bytes / RoundUp(bytes + Architecture::kReservedBytes, kUnit);
}

}  // namespace

Occupancy OccupancyOf(const BlockNeeds& needs, const Architecture& a) {
  const int64_t warps = (needs.threads + 31) / 32;
  const bool possible = needs.threads >= 1 && needs.threads <= Architecture::kBlockThreads;
  const std::pair<int64_t, const char*> limits[] = {
      {possible ? a.threads / 32 / warps : 0, "threads"},
      {a.blocks, "blocks"},
      {possible ? BlocksByRegisters(needs.registers, warps) : 0, "registers"},
      {BlocksByShared(needs.shared_bytes, a), "shared"}};
  std::pair<int64_t, const char*> least = limits[0];
  for (const auto& limit : limits) {
    if (limit.first < least.first) least = limit;
  }
  return {static_cast<int>(least.first), static_cast<int>(least.first * warps), least.second};
}

}  // namespace eaq::kernels::roofline

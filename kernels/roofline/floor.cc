#include "kernels/roofline/floor.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "kernels/roofline/occupancy.h"

namespace eaq::kernels::roofline {
namespace {

// An MMA is 16 x 8 x 16 (bf16), x 32 (int8), x 64 (int4); cycles of a multiprocessor's four tensor cores together.
double MmaCycles(const Work& w, const Chip& c) {
  double cycles = 2048.0 * w.mma_bf16 / c.macs_bf16 + 4096.0 * w.mma_s8 / c.macs_int8;
  if (c.macs_int4 > 0) cycles += 8192.0 * w.mma_s4 / c.macs_int4;
  cycles /= c.mma_share;
  if (w.wgmma_columns > 0) cycles += 2048.0 * w.wgmma_columns / c.macs_int8 / c.wgmma_share;
  return cycles;
}

// Cycles of shared memory. wgmma reads the columns of its B operand, 32 bytes each, once for the warpgroup.
double SharedCycles(const Work& w) {
  return static_cast<double>(w.ldmatrix_wavefronts + w.shared_wavefronts) +
         static_cast<double>(w.copied_bytes + w.bulk_landed_bytes + 32 * w.wgmma_columns) / 128;
}

// Multiply-adds a cycle of the kind that the kernel uses, as the data sheet has them.
double SheetMacs(const Work& w, const Chip& c) {
  if (w.mma_s4 > 0) return c.macs_int4;
  return w.mma_s8 > 0 || w.wgmma > 0 ? c.macs_int8 : c.macs_bf16;
}

int Resident(const Work& w, const Chip& c) {
  const Occupancy most = OccupancyOf({w.threads, /*registers=*/0, w.shared_bytes}, *FindArchitecture(c.architecture));
  return std::max(1, std::min(w.resident, most.blocks));
}

double L2Bytes(const Work& w) {
  return static_cast<double>(w.copied_bytes + w.bulk_bytes) + 16.0 * w.global_accesses_16;
}

}  // namespace

Floor FloorOf(const Work& w, const Chip& c, double slots_per_mma) {
  Floor f;
  f.resident = Resident(w, c);
  // Multiprocessors, or groups of them that take a cluster each.
  const double items = static_cast<double>(w.items > 0 ? w.items : w.blocks), units = c.multiprocessors / w.cluster;
  f.waves = items / (units * f.resident);
  if (w.items > 0) f.tail = std::ceil(items / units) / (items / units);
  // From cycles of all multiprocessors to seconds of the busiest.
  const double per_unit = f.tail / (units * w.cluster) / c.clock;

  f.mma = MmaCycles(w, c) * per_unit;
  f.issue = slots_per_mma * static_cast<double>(w.mmas()) / 4 * per_unit;
  f.shared = SharedCycles(w) * per_unit;
  f.l2 = L2Bytes(w) / c.l2;

  // Memory: as long as all blocks have work, and in the last round, when only some have.
  const double best = c.memory * c.memory_share, places = units * f.resident;
  const double whole = std::floor(items / places), rest = items - whole * places;
  const auto rate = [&](double blocks) { return std::min(best, blocks * w.cluster * w.flight_bytes / c.latency); };
  const double bytes_an_item = w.memory_bytes / items;
  if (whole > 0) f.memory += whole * places * bytes_an_item / rate(places);
  if (rest > 0) f.memory += rest * bytes_an_item / rate(rest);
  f.flight = static_cast<double>(w.flight_bytes) * std::min(static_cast<double>(f.resident), std::ceil(items / units));
  f.flight_needed = best * c.latency / c.multiprocessors;

  f.start = w.launches * c.launch + c.latency + w.dependent_loads * c.l2_latency;
  const std::pair<double, const char*> bounds[] = {
      {f.memory, "memory"}, {f.l2, "L2"}, {f.mma, "MMA"}, {f.issue, "issue"}, {f.shared, "shared"}};
  for (const auto& [seconds, name] : bounds) {
    if (seconds > f.busy) f.busy = seconds, f.bound = name;
  }
  if (f.start > f.busy) f.bound = "start";
  f.seconds = f.busy + f.start;
  const double sheet_memory = w.memory_bytes / c.memory,
               sheet_mma = w.macs / (SheetMacs(w, c) * c.multiprocessors * c.clock);
  f.memory_share = sheet_memory / f.seconds;
  f.mma_share = sheet_mma / f.seconds;
  f.busy_memory_share = sheet_memory / f.busy;
  f.busy_mma_share = sheet_mma / f.busy;
  return f;
}

std::string Explain(const Work& w, const Chip& c, double slots_per_mma) {
  const Floor f = FloorOf(w, c, slots_per_mma);
  std::string text;
  const auto line = [&](const char* format, auto... values) {
    char buffer[320];
    snprintf(buffer, sizeof(buffer), format, values...);
    text += buffer;
  };
  const double us = 1e6;
  const double cycles = MmaCycles(w, c);
  const int units = c.multiprocessors / w.cluster;
  line("  tiles  %lld over %d clusters of %d SMs: busiest has %.0f, mean %.2f, factor %.3f; %d resident, %.2f waves\n",
       static_cast<long long>(w.items), units, w.cluster, std::ceil(1.0 * w.items / units), 1.0 * w.items / units,
       f.tail, f.resident, f.waves);
  line("  memory %.4g bytes / min(%.0f GB/s * %.2f, flight %.0f of %.0f bytes an SM) = %.2f us\n", w.memory_bytes,
       c.memory * 1e-9, c.memory_share, f.flight, f.flight_needed, f.memory * us);
  line("  L2     %.4g bytes / %.1f TB/s = %.2f us\n", L2Bytes(w), c.l2 * 1e-12, f.l2 * us);
  const bool wgmma = w.wgmma > 0;
  line("  MMA    %.4g -> %.4g cycles of an SM (%s at %.2f) / %d SMs / %.2f GHz * %.3f = %.2f us\n",
       static_cast<double>(wgmma ? w.wgmma : w.mmas()), cycles, wgmma ? "wgmma" : "mma.sync",
       wgmma ? c.wgmma_share : c.mma_share, units * w.cluster, c.clock * 1e-9, f.tail, f.mma * us);
  line("  issue  %.4g MMAs * %.2f slots / 4 = %.2f us\n", static_cast<double>(w.mmas()), slots_per_mma, f.issue * us);
  line("  shared %.4g wavefronts + %.4g bytes / 128 = %.2f us\n",
       static_cast<double>(w.ldmatrix_wavefronts + w.shared_wavefronts),
       static_cast<double>(w.copied_bytes + w.bulk_landed_bytes + 32 * w.wgmma_columns), f.shared * us);
  line("  start  %lld launches * %.1f us + %.2f us + %d loads * %.2f us = %.2f us\n",
       static_cast<long long>(w.launches), c.launch * us, c.latency * us, w.dependent_loads, c.l2_latency * us,
       f.start * us);
  line(
      "  floor  %.2f us (%s); %.0f %% of the memory's, %.0f %% of the tensor cores' data-sheet rate (but for the start "
      "%.0f "
      "and %.0f %%)\n",
      f.seconds * us, f.bound, 100 * f.memory_share, 100 * f.mma_share, 100 * f.busy_memory_share,
      100 * f.busy_mma_share);
  return text;
}

}  // namespace eaq::kernels::roofline

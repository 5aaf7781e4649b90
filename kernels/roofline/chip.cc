#include "kernels/roofline/chip.h"

namespace eaq::kernels::roofline {

// Data sheets (multiprocessors, clock, memory; MACs from TOPS / 2 / multiprocessors / clock):
//   A100   624 TOPS int8, 312 bf16, 1248 int4 at 1.41 GHz; 2039 GB/s
//   4090   661 TOPS int8, 165 bf16 with float sums, 1321 int4 at 2.52 GHz; 1008 GB/s
//   H100   1979 TOPS int8, 989 bf16 at 1.83 GHz; 3350 GB/s. H200: the same with 4800 GB/s
// mma_share and wgmma_share of Hopper: 0.63 and 0.95, second hand (specs/kernels.md, R22). memory_share: 0.90 measured
// on our H100 (3003 GB/s copied); taken over for the others. l2 of
// Hopper: measured, too, at least: what grouped_wgmma with clusters of one read from it (Mixtral, down). l2 of the
// others, latencies, launch: orders of magnitude of published microbenchmarks, not measured by us.
const std::vector<Chip>& Chips() {
  static const auto& chips = *new std::vector<Chip>{
      {"A100", 80, 108, 1.41e9, 4096, 2048, 1024, 2039e9, 1.0, 0, 0.90, 4.7e12, 600e-9, 200e-9, 1.5e-6},
      {"RTX 4090", 89, 128, 2.52e9, 2048, 1024, 256, 1008e9, 1.0, 0, 0.90, 5.0e12, 600e-9, 250e-9, 1.5e-6},
      {"H100", 90, 132, 1.83e9, 0, 4096, 2048, 3350e9, 0.63, 0.95, 0.90, 6.4e12, 650e-9, 250e-9, 1.5e-6},
      {"H200", 90, 132, 1.83e9, 0, 4096, 2048, 4800e9, 0.63, 0.95, 0.90, 6.4e12, 650e-9, 250e-9, 1.5e-6},
  };
  return chips;
}

}  // namespace eaq::kernels::roofline

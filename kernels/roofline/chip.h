// What a GPU can do at most, by its data sheet; and what is known of it from elsewhere, which is less certain.
#ifndef KERNELS_ROOFLINE_CHIP_H_
#define KERNELS_ROOFLINE_CHIP_H_

#include <cstdint>
#include <vector>

namespace eaq::kernels::roofline {

struct Chip {
  const char* name;
  int architecture;  // 80, 89, 90: of kernels/architecture.h
  int multiprocessors;
  double clock;  // Hz, boost: the one for which the data sheet's rates hold
  // Multiply-adds a cycle of one multiprocessor, dense; int4 0: none.
  int macs_int4, macs_int8, macs_bf16;
  double memory;        // bytes/s, data sheet
  double mma_share;     // of those rates that mma.sync can reach; Hopper keeps the rest for wgmma
  double wgmma_share;   // and wgmma; 0: none
  double memory_share;  // of `memory` that a copy reaches
  double l2;            // bytes/s from the second cache to all multiprocessors
  double latency;       // s, of a load from memory
  double l2_latency;    // s, of a load from the second cache
  double launch;        // s, from the end of one kernel of a graph to the first instruction of the next
};

// A100-SXM4-80GB, RTX 4090, H100-SXM5-80GB, H200-SXM. Where a figure comes from: chip.cc.
const std::vector<Chip>& Chips();

}  // namespace eaq::kernels::roofline

#endif  // KERNELS_ROOFLINE_CHIP_H_

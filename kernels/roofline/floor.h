// The least time that a kernel can take on a chip, from its Work: each resource by itself, as if the others cost
// nothing and everything overlapped. An estimate on paper: what a GPU loses beyond it (stalls, conflicts of traffic,
// clocks below boost) is not in it.
#ifndef KERNELS_ROOFLINE_FLOOR_H_
#define KERNELS_ROOFLINE_FLOOR_H_

#include <string>

#include "kernels/roofline/chip.h"
#include "kernels/roofline/work.h"

namespace eaq::kernels::roofline {

struct Floor {
  // Seconds of each resource.
  double memory = 0;   // memory_bytes at the rate that the loads in flight allow, at most memory_share of the chip's
  double l2 = 0;       // copied_bytes and 16-byte loads at the second cache's rate
  double mma = 0;      // cycles of the tensor cores of the busiest multiprocessor, by mma.sync
  double issue = 0;    // slots_per_mma * MMAs over its four schedulers
  double shared = 0;   // wavefronts, and copies written at 128 bytes a cycle
  double start = 0;    // launch and loads that depend on each other: added, nothing hides it
  double busy = 0;     // the largest of the first five: the roofline itself
  double seconds = 0;  // busy + start
  const char* bound = "";
  // How the items fall on the machine.
  int resident = 0;          // blocks of a multiprocessor at once
  double waves = 0;          // items / (multiprocessors * resident)
  double tail = 1;           // items of the busiest multiprocessor / the mean; 1: even
  double flight = 0;         // bytes on their way from memory, per multiprocessor
  double flight_needed = 0;  // to keep the memory busy: rate * latency / multiprocessors (Little's law)
  // Shares of the data sheet's rates that the floor leaves: bytes of memory, multiply-adds without padding; and those
  // that it would leave if a launch had no start.
  double memory_share = 0, mma_share = 0;
  double busy_memory_share = 0, busy_mma_share = 0;
};

// slots_per_mma: issue slots of the main loop for each MMA (tools/sass/ceilings.txt); 0: not known, not counted.
Floor FloorOf(const Work& work, const Chip& chip, double slots_per_mma);

// The arithmetic of a floor, line by line.
std::string Explain(const Work& work, const Chip& chip, double slots_per_mma);

}  // namespace eaq::kernels::roofline

#endif  // KERNELS_ROOFLINE_FLOOR_H_

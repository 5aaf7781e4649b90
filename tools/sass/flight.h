// Bytes on their way from memory to a multiprocessor (Little's law): what the ring of stages of grouped_gemm.h holds
// beyond the one that is being multiplied, and what a chip needs to keep its memory busy.
#ifndef TOOLS_SASS_FLIGHT_H_
#define TOOLS_SASS_FLIGHT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/grouped_gemm_tiles.h"
#include "kernels/roofline/chip.h"

namespace eaq::sass {

struct GemmTile {
  kernels::cuda::GemmKind kind;
  kernels::cuda::GemmTileShape shape;
  bool decode() const { return shape.tokens() < 128; }
};

// Of "GroupedGemmKernel<eaq::kernels::cuda::GemmConfig<4, 16, ...> >", and each width of a MixedGemmKernel; empty for
// other kernels.
std::vector<GemmTile> GemmTilesOf(const std::string& kernel);

// (stages - 1) x the bytes of one, of the width that has fewest, for `blocks` of a multiprocessor but no more than the
// launch starts (grouped_gemm_tiles.h: GemmBlocks). None for other kernels.
std::optional<int64_t> FlightBytes(const std::string& kernel, int blocks);

// Data-sheet bandwidth of the memory / multiprocessors x latency.
double FlightNeeded(const kernels::roofline::Chip& chip);

}  // namespace eaq::sass

#endif  // TOOLS_SASS_FLIGHT_H_

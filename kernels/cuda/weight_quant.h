// Grids of weight matrices and rounding to them, on the GPU. (FindGrids, SearchClip, FindRatioGrids, QuantizeOnGrids of
// eaq/quant.)
#ifndef KERNELS_CUDA_WEIGHT_QUANT_H_
#define KERNELS_CUDA_WEIGHT_QUANT_H_

#include <cstdint>

#include "kernels/cuda/weight_grid.h"

namespace eaq::kernels::cuda {

// How the range of a grid is found.
struct GridSearch {
  enum class Way {
    kFixed,  // [min, max] times `first`; 1: min-max
    kClip,   // ratios 1 - t / steps for t = 0 .. int(max_shrink * steps) - 1 (eaq/quant/clip_search.h)
    kRatio,  // ratios first + t (1 - first) / 100 for t = 0 .. 100 (eaq/quant/ratio_search.h)
  };
  Way way = Way::kFixed;
  bool power24 = true;      // kClip: error |e|^2.4; false: e^2, which kRatio always takes
  int steps = 100;          // kClip
  double max_shrink = 0.8;  // kClip
  double first = 1.0;       // kFixed, kRatio
  // False: [min, max] need not hold 0 (ratio_search.h); asymmetric grids by kFixed and kRatio only.
  bool zero_in_range = true;
};

// grids[rows, ceil(cols / group)] of w[rows, cols] float32, rows ldw apart; group: columns of a grid, cols for a grid a
// row. Weights must be finite (the host checks them); a range beyond float16's 65504 codes gives an infinite scale.
//
// kFixed: the bits of the CPU. The searches take the ratio whose grid has the smallest summed error, the first of
// equal ones, among the very grids that the CPU tries. Errors are summed in another order than the CPU's (per lane in
// float32 over 8 numbers, then float64; there over 256), with a relative difference below 2e-6: where the best two
// candidates are closer than that, the other may be chosen. A block of 4 warps per grid; each warp tries every fourth
// ratio. Returns 0, or the CUDA error; 1 (invalid value) for bits outside 2 .. 8, a group below 1, more than 65535
// groups a row, negative sizes, bad ratios or a stride below cols.
int FindWeightGrids(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group, WeightGridKind kind,
                    int bits, const GridSearch& search, WeightGrid* grids, void* stream);

// Every weight to the nearest code of its grid: codes[rows, cols] (may be null), and scale * (code - zero) to
// rounded[rows, cols], rows ldr apart (may be null, or w itself: fake quantization in place). The bits of the CPU.
int QuantizeWeights(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group, int bits,
                    const WeightGrid* grids, uint8_t* codes, float* rounded, int64_t ldr, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_WEIGHT_QUANT_H_

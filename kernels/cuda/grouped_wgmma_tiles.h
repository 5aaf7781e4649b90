// The tiles of grouped_wgmma.h: plain constants, shared by the kernel and the model of its costs (kernels/roofline).
#ifndef KERNELS_CUDA_GROUPED_WGMMA_TILES_H_
#define KERNELS_CUDA_GROUPED_WGMMA_TILES_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// A block: 256 outputs (two consumers of two times 64) x at most 144 slots: 2 x 72 registers of sums a thread beside
// those of the weights, and four stages in 227 KiB.
inline constexpr int kWgmmaRows = 256, kWgmmaSlots = 144, kWgmmaStages = 4;
inline constexpr int kWgmmaThreads = 3 * 128;
inline constexpr int kWgmmaWeightBytes = kWgmmaRows * 128, kWgmmaTokenBytes = kWgmmaSlots * 128;  // of a stage
inline constexpr int kWgmmaStageBytes = kWgmmaWeightBytes + kWgmmaTokenBytes;
inline constexpr int kWgmmaMostExperts = 1024;  // a prefix sum of them lies in shared memory

// The least width of the product that is compiled (int8 has multiples of 16) and holds so many slots of a block.
constexpr int WgmmaWidth(int slots) {
  return slots <= 64 ? 64 : slots <= 96 ? 96 : slots <= 112 ? 112 : slots <= 128 ? 128 : 144;
}

// Below so many slots an expert (mean) the tiles of grouped_gemm waste less: a block of this kernel has weights for 256
// outputs whatever the slots, at less than 64 columns of its product the shared memory limits it to half its rate.
inline constexpr int kWgmmaLeastSlots = 64;

// Blocks of a cluster, by the mean: two as soon as both have work. (Four were slower on an H100 in every product that
// was measured: each stage waits for the slowest of four, and 4 of its 132 multiprocessors stay idle.)
constexpr int WgmmaCluster(int64_t slots, int64_t experts) { return slots > experts * kWgmmaSlots ? 2 : 1; }

// How an expert's slots are shared out: over `parts` clusters for each 256 outputs, at most `share` a block.
struct WgmmaShape {
  int parts, share;
};
constexpr WgmmaShape WgmmaShapeOf(int slots, int cluster) {
  const int most = cluster * kWgmmaSlots, parts = (slots + most - 1) / most;
  return {parts, parts == 0 ? 0 : (slots + parts * cluster - 1) / (parts * cluster)};
}

// Shared memory: stages from a multiple of 1024 bytes on, the barriers, what the epilogue wants of each slot for either
// consumer, two tables of the slots' rows of x, the prefix sum of items over the experts.
inline constexpr int kWgmmaBarriersAt = kWgmmaStages * kWgmmaStageBytes;
inline constexpr int kWgmmaFactsAt = kWgmmaBarriersAt + 2 * kWgmmaStages * 8;
inline constexpr int kWgmmaFactBytes = 16;
inline constexpr int kWgmmaTablesAt = kWgmmaFactsAt + 2 * kWgmmaSlots * kWgmmaFactBytes;
inline constexpr int kWgmmaItemsAt = kWgmmaTablesAt + 2 * kWgmmaSlots * 4;
constexpr int WgmmaSharedBytes(int64_t experts) { return 1024 + kWgmmaItemsAt + (static_cast<int>(experts) + 1) * 4; }
static_assert(WgmmaSharedBytes(kWgmmaMostExperts) <= 227 << 10, "a block's shared memory on sm_90");

// Most items that the launch can have.
constexpr int64_t WgmmaMostItems(int64_t rows, int64_t slots, int64_t experts, int cluster) {
  const int64_t parts = slots / (cluster * kWgmmaSlots) + experts;
  return (parts < slots ? parts : slots) * ((rows + kWgmmaRows - 1) / kWgmmaRows);
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_WGMMA_TILES_H_

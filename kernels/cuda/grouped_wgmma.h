// The grouped product of grouped_gemm.h for 8-bit weights and activations, one grid a row, at prefill on Hopper (sm_90a
// alone): the same arguments, the same packed weights, the same results to the bit; wgmma instead of mma.
//
// Why. mma.sync reaches at most 63 % of an H100's tensor cores, and tiles of 128 x 128 ask its second cache for more
// than it gives. Here a cluster of 1, 2 or 4 blocks takes 256 outputs and up to 4 x 144 slots of one expert; weights
// are read once for the cluster (multicast). kernels/roofline and docs/gpu.md have the arithmetic.
//
// Algorithm. A block is one producer warpgroup and two consumers. Persistent: cluster c takes items c, c + clusters,
// ...: (expert, 256 outputs, part of its slots). Slots are shared out evenly over an expert's clusters and their blocks
// (WgmmaShape), so that no block has much more than another; the product's width is the least compiled one that
// holds a block's share. A ring of four stages of 128 columns in shared memory:
//   weights: fragment order as they lie in memory (pack_weights.h), 2 KiB a brick of 16 outputs, each brick by one bulk
//     copy that one block of the cluster starts for all; consumers load them as registers of the A operand;
//   tokens: gathered by cp.async, 128 bytes a row, 16-byte chunks XOR-swizzled by the row's number, which is what
//     wgmma's B operand reads by itself. fence.proxy.async, one stage later when they have come, hands them over.
// Barriers with byte counts say when a stage is full (128 threads with their rows, one with the weights' bytes) and
// empty (every consumer warp of every block of the cluster). A consumer has 128 outputs x the block's slots: two
// products of 64 outputs a step of 32 columns, one batch ahead of the registers that are being loaded.
// (Warp specialization and clusters: NVIDIA/cutlass, sm90 collectives; A from registers: its mixed-input kernels.)
//
// Results do not depend on the cluster, width or other tokens: integers, and the epilogue of grouped_gemm.
#ifndef KERNELS_CUDA_GROUPED_WGMMA_H_
#define KERNELS_CUDA_GROUPED_WGMMA_H_

#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/grouped_wgmma_tiles.h"

namespace eaq::kernels::cuda {

// Whether the device of the calling thread runs it. Without one: no.
bool HasWgmma();

// Whether GroupedGemm(kW8A8) should take it here: as soon as an expert has kWgmmaLeastSlots slots in the mean.
bool PrefersWgmma(const GroupedGemmArguments& arguments);

// As GroupedGemm(kW8A8, ...), group = 0, results in float, at most kWgmmaMostExperts experts; token_tile and
// tile_offsets are not used. Any number of slots, so that it can be checked with few. Returns 0, a CUDA error, or 1 for
// arguments outside the limits.
int GroupedWgmma(const GroupedGemmArguments& arguments, void* stream);

// The same with clusters of so many blocks (1, 2, 4), for checks and measurements.
int GroupedWgmmaOfClusters(const GroupedGemmArguments& arguments, int cluster, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_WGMMA_H_

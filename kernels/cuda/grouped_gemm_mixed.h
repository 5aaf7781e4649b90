// Device code of grouped_gemm where experts have different widths: one launch, one list of tiles.
#ifndef KERNELS_CUDA_GROUPED_GEMM_MIXED_H_
#define KERNELS_CUDA_GROUPED_GEMM_MIXED_H_

#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

constexpr int Largest(int a, int b) { return a > b ? a : b; }

// The configurations of one token_tile, one for each width; all cut outputs and tokens alike.
template <class First, class... Rest>
struct GemmConfigs {
  using Any = First;
  static constexpr int Most(int most) { return most; }
  template <typename... More>
  static constexpr int Most(int most, int next, More... more) {
    return Most(Largest(most, next), more...);
  }
  static constexpr int kStageBytes = Most(First::kStages * First::kStageBytes, (Rest::kStages * Rest::kStageBytes)...);
  static constexpr int kSharedBytes = kStageBytes + RowTableBytes(First::kShape);
  static_assert(((First::kRows == Rest::kRows && First::kTokens == Rest::kTokens && First::kThreads == Rest::kThreads &&
                  First::kBlocks == Rest::kBlocks) &&
                 ...),
                "one list of tiles for all widths");
};

// One tile from its first copy to its results: without the overlap of one tile's results with the next one's copies
// that a single width has, since the next may be of another.
template <class C>
__device__ __forceinline__ void RunTile(const GroupedGemmArguments& a, const GemmTile& tile, const ExpertMatrix& expert,
                                        const int* table, uint8_t* stages) {
  const GemmShape<C> shape(a);
  const WarpPlace<C> at;
  TileCopies<C> copies;
  StartTile<C>(a, tile, expert, table, shape, stages, copies);
  GemmSums<C> sums = {};
  MultiplyTile<C>(a, tile, expert, at, shape, stages, copies, sums);
  ptx::WaitCopies<0>();  // only empty groups are left
  if (a.swiglu) {
    StoreTile<C, true>(a, expert, at, tile, table, shape.bricks, shape.padded_rows, sums);
  } else {
    StoreTile<C, false>(a, expert, at, tile, table, shape.bricks, shape.padded_rows, sums);
  }
}

template <class Set, class... Cs>
__global__ void __launch_bounds__(Set::Any::kThreads, Set::Any::kBlocks) MixedGemmKernel(GroupedGemmArguments a) {
  using Any = typename Set::Any;
  EAQ_DYNAMIC_SHARED(uint8_t, stages);
  int* const table = reinterpret_cast<int*>(stages + Set::kStageBytes);
  const GemmShape<Any> shape(a);
  for (int index = static_cast<int>(blockIdx.x); index < shape.tiles; index += static_cast<int>(gridDim.x)) {
    const GemmTile tile = FindTile<Any>(a, shape.row_tiles, index);
    const ExpertMatrix expert = a.experts[tile.expert];
    FillRowTable<Any>(a, tile, table);
    __syncthreads();
    // The same way for the whole block; an expert of no such width leaves its results unwritten.
    ((expert.bits == Cs::kWeightBits ? RunTile<Cs>(a, tile, expert, table, stages) : void()), ...);
    __syncthreads();  // the table and the ring have been used by all
  }
}

template <class... Cs>
int LaunchConfigs(const GroupedGemmArguments& a, void* stream) {
  using Set = GemmConfigs<Cs...>;
  constexpr GemmTileShape t = Set::Any::kShape;
  const int64_t most = MostTiles(t, a.rows, a.slots, a.expert_count);
  if (most >= (int64_t{1} << 30)) return 1;  // cudaErrorInvalidValue
  const int64_t blocks = PersistentGrid(most, t.blocks, Set::kSharedBytes, a.machine);
  EAQ_LAUNCH((MixedGemmKernel<Set, Cs...>), static_cast<unsigned>(blocks), Set::Any::kThreads, Set::kSharedBytes,
             stream, a);
  return EAQ_LAUNCH_ERROR();
}

template <int W, int A, int kGrids, int kTokenTile, bool kMany>
struct MixedConfig {
  static constexpr GemmTileShape t = MixedTile({W, A, kGrids}, kTokenTile, kMany);
  using type =
      GemmConfig<W, A, kGrids, t.row_warps, t.token_warps, t.row_tiles, t.token_tiles, t.bricks, t.stages, t.blocks>;
};

template <int A, int kGrids, int kTokenTile, bool kMany, int... kWidths>
int LaunchWidths(const GroupedGemmArguments& a, void* stream) {
  return LaunchConfigs<typename MixedConfig<kWidths, A, kGrids, kTokenTile, kMany>::type...>(a, stream);
}

// kWidths: bits of weights that experts may have.
template <int A, int kGrids, int... kWidths>
int LaunchTiles(const GroupedGemmArguments& a, void* stream) {
  switch (a.token_tile) {
    case 8:
      return ManyTiles(a.slots, a.expert_count, a.rows, a.machine.multiprocessors)
                 ? LaunchWidths<A, kGrids, 8, true, kWidths...>(a, stream)
                 : LaunchWidths<A, kGrids, 8, false, kWidths...>(a, stream);
    case 16:
      return LaunchWidths<A, kGrids, 16, true, kWidths...>(a, stream);
    case 32:
      return LaunchWidths<A, kGrids, 32, true, kWidths...>(a, stream);
    case 128:
      return LaunchWidths<A, kGrids, 128, true, kWidths...>(a, stream);
    default:
      return 1;
  }
}

template <int kActivationBits, int kGrids>
int LaunchMixed(const GroupedGemmArguments& a, void* stream) {
  if constexpr (kActivationBits == 8) return LaunchTiles<8, kGrids, 4, 8>(a, stream);
  return LaunchTiles<16, kGrids, 2, 3, 4, 6>(a, stream);
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_MIXED_H_

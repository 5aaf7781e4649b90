// Device code of grouped_gemm: the persistent kernel, a template over format and tile (grouped_gemm.h says what it
// does).
#ifndef KERNELS_CUDA_GROUPED_GEMM_KERNEL_H_
#define KERNELS_CUDA_GROUPED_GEMM_KERNEL_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/find_expert.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/grouped_gemm_copy.h"
#include "kernels/cuda/grouped_gemm_formats.h"
#include "kernels/cuda/grouped_gemm_fragments.h"
#include "kernels/cuda/grouped_gemm_tiles.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/persistent_grid.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

// kWeightBits x kActivationBits, kGrids grids for each 128 columns of a row, or (0) one for the row. A block's tile is
// kRowWarps * kRowTiles * 16 outputs x kTokenWarps * kTokenTiles * 8 tokens; kBricks bricks of 128 columns a stage;
// kBlocks: blocks on a multiprocessor that registers are limited for.
template <int kWeightBits_, int kActivationBits_, int kGrids_, int kRowWarps_, int kTokenWarps_, int kRowTiles_,
          int kTokenTiles_, int kBricks_, int kStages_, int kBlocks_>
struct GemmConfig {
  static constexpr int kWeightBits = kWeightBits_, kActivationBits = kActivationBits_;
  static constexpr int kGrids = kGrids_;
  static constexpr bool kGrouped = kGrids > 0;
  static constexpr int kRowWarps = kRowWarps_, kTokenWarps = kTokenWarps_, kRowTiles = kRowTiles_,
                       kTokenTiles = kTokenTiles_, kBricks = kBricks_, kStages = kStages_, kBlocks = kBlocks_;
  using F = typename FragmentsOf<kWeightBits, kActivationBits, kGrids>::type;
  static constexpr bool kFloat = kActivationBits == 16;
  static constexpr int kThreads = 32 * kRowWarps * kTokenWarps;
  static constexpr int kRows = kRowWarps * kRowTiles * 16, kTokens = kTokenWarps * kTokenTiles * 8;
  static constexpr GemmKind kKind{kWeightBits, kActivationBits, kGrids};
  static constexpr GemmTileShape kShape{kRowWarps, kTokenWarps, kRowTiles, kTokenTiles, kBricks, kStages, kBlocks};
  static constexpr bool kPaired = kKind.paired();
  // Whether the second tile of a pair multiplies whole bytes, so that the first one's codes are in its sums, too. Where
  // sums are folded often, taking them out costs more than an AND for each word.
  static constexpr bool kOnTop = kPaired && !(kGrouped && kTokenTiles >= 8);
  static constexpr int kBrickRows = kKind.brick_rows(), kBrickTiles = kBrickRows / 16,
                       kRowBricks = kRowTiles / kBrickTiles;
  static_assert(kRowTiles % kBrickTiles == 0, "whole bricks");
  static constexpr int kBrickBytes = WeightBrickBytes(kKind), kTokenBrickBytes = cuda::TokenBrickBytes(kKind);
  static constexpr GemmStage kStage = StageOf(kKind, kShape);
  static constexpr int kWeightBytes = kStage.weights, kTokenBytes = kStage.tokens, kScaleBytes = kStage.scales,
                       kZeroBytes = kStage.zeros, kStageBytes = kStage.bytes();
  static constexpr int kSharedBytes = cuda::SharedBytes(kKind, kShape);
  // Unrolled over the ring where a stage is short, so that its addresses become constants; long ones would outgrow the
  // instruction cache.
  static constexpr int kUnrollUpTo = kGrouped && kBlocks <= 2    ? 8
                                     : !kGrouped || kBlocks <= 3 ? 4
                                     : kWeightBits == 4          ? 1
                                                                 : 2;
  static constexpr bool kUnrollRing = !kFloat && kGrids <= 1 && kRowTiles * kTokenTiles * kBricks <= kUnrollUpTo;
  // Tokens lie in pieces of 128 bytes (64 where a stage has no more), [piece][token][bytes].
  static constexpr int kPiece = kBricks * kTokenBrickBytes < 128 ? kBricks * kTokenBrickBytes : 128;
  static_assert(kStageBytes % 128 == 0 || kStageBytes % 16 == 0, "16-byte copies");
};

// Tile `index` of the list: expert by expert, within an expert all its slot tiles for the first kRows outputs, then the
// next outputs. Beyond the list: some tile, not to be used.
template <class C>
__device__ __forceinline__ GemmTile FindTile(const GroupedGemmArguments& a, int row_tiles, int index) {
  const ExpertTiles found = FindExpert(a.tile_offsets, static_cast<int>(a.expert_count), row_tiles, index);
  const int count = found.next > found.first ? found.next - found.first : 1;
  const int local = index - found.first * row_tiles;
  GemmTile tile;
  tile.expert = found.expert;
  tile.first_row = local / count * C::kRows;
  tile.first_slot = a.offsets[found.expert] + local % count * C::kTokens;
  const int left = a.offsets[found.expert + 1] - tile.first_slot;
  tile.slots = left < C::kTokens ? left : C::kTokens;
  return tile;
}

// table[i]: the row of x that slot i of the tile reads. Places beyond its slots repeat the first: their results are
// never written.
template <class C>
__device__ __forceinline__ void FillRowTable(const GroupedGemmArguments& a, const GemmTile& tile, int* table) {
  for (int i = threadIdx.x; i < C::kTokens; i += C::kThreads) {
    int row = tile.first_slot + (i < tile.slots ? i : 0);
    if (a.x_rows != nullptr) row = a.x_rows[row] / a.x_row_divisor;
    table[i] = row;
  }
}

// 1.5 * 2^23 as bits. An integer below 2^22 in magnitude that is added to these bits makes those of the float 1.5 *
// 2^23 + that integer: a sum that starts here turns into a float by one subtraction. A group's sums, 2^SumShift times
// too large, and what zero points take off them, are at most 2^21 each.
inline constexpr int kFloatOfInteger = 0x4b400000;

// The sums of a warp. Grouped ones have an exact part for the running group beside the float sum. A warp with a single
// tile of integers adds products by turns to two sums: mma need not wait for the one before it.
template <class C>
struct GemmSums {
  static constexpr bool kTwo = !C::kFloat && C::kGrids <= 2 && C::kRowTiles * C::kTokenTiles == 1;
  typename C::F::Sum part[C::kRowTiles][C::kTokenTiles][4];
  typename C::F::Sum odd[kTwo ? 4 : 1];
  float total[C::kGrouped ? C::kRowTiles : 1][C::kGrouped ? C::kTokenTiles : 1][4];

  __device__ __forceinline__ void Join() {
    if constexpr (kTwo) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        part[0][0][i] += odd[i];
        odd[i] = 0;
      }
    }
  }
};

// Sums of row tile m of a warp are 2^SumShift times the true ones, of codes that are counted from SumMiddle. OnTop:
// once those of the tile before it are taken from them.
template <class C>
__device__ __forceinline__ int SumShift(int m) {
  return C::kActivationBits == 4 ? (Int4ByInt8() ? 8 : 0) : C::kPaired && m % 2 == 1 ? 4 : 0;
}
template <class C>
__device__ __forceinline__ int SumMiddle(int m) {
  return C::kPaired && m % 2 == 0 ? 0 : 1 << (C::kWeightBits - 1);
}
template <class C>
__device__ __forceinline__ bool OnTop(int m) {
  return C::kOnTop && m % 2 == 1;
}

// What a warp is within its block's tile.
template <class C>
struct WarpPlace {
  int lane, row, token;  // first output and token within the tile
  __device__ __forceinline__ WarpPlace() {
    const int warp = threadIdx.x / 32;
    lane = threadIdx.x % 32;
    row = warp % C::kRowWarps * C::kRowTiles * 16;
    token = warp / C::kRowWarps * C::kTokenTiles * 8;
  }
};

// Two equal bfloat16s 128 + z in a word.
__device__ __forceinline__ uint32_t ZeroAsBf16(int zero) {
  return (0x4300u | static_cast<uint32_t>(zero)) * 0x00010001u;
}

// The B operands of the warp's tokens for kAtOnce products, 32 bytes of each token from byte `byte` of their part of
// the stage on. A single tile of tokens takes two products, so that ldmatrix brings four matrices in either case.
template <class C>
constexpr int ProductsAtOnce() {
  return C::kTokenTiles == 1 ? 2 : 1;
}
template <class C>
__device__ __forceinline__ void LoadTokens(const uint8_t* tokens, const WarpPlace<C>& at, int byte,
                                           uint32_t (&b)[ProductsAtOnce<C>()][C::kTokenTiles][2]) {
  if constexpr (C::kTokenTiles == 1) {
    uint32_t r[4];
    ptx::LoadMatrix4(r, tokens + TokenOffset<C>(at.token + (at.lane & 7), byte + (at.lane >> 3) * 16));
    b[0][0][0] = r[0];
    b[0][0][1] = r[1];
    b[1][0][0] = r[2];
    b[1][0][1] = r[3];
  } else {
#pragma unroll
    for (int n = 0; n < C::kTokenTiles; n += 2) {
      const int token = at.token + n * 8 + (at.lane & 7) + (at.lane >> 4) * 8;
      uint32_t r[4];
      ptx::LoadMatrix4(r, tokens + TokenOffset<C>(token, byte + (at.lane >> 3 & 1) * 16));
      b[0][n][0] = r[0];
      b[0][n][1] = r[1];
      b[0][n + 1][0] = r[2];
      b[0][n + 1][1] = r[3];
    }
  }
}

// Grid `grid` of a stage: of its brick `grid` / kGrids.
template <class C>
struct StageGrids {
  const Half* scales;    // [rows]
  const uint8_t* zeros;  // [rows]
  const int* x_sums;     // [tokens]
  __device__ __forceinline__ StageGrids(const uint8_t* stage, int grid) {
    const uint8_t* const bytes = stage + C::kWeightBytes + C::kTokenBytes;
    scales = reinterpret_cast<const Half*>(bytes) + grid * C::kRows;
    zeros = bytes + C::kScaleBytes + grid * C::kRows;
    x_sums = reinterpret_cast<const int*>(bytes + C::kScaleBytes + C::kZeroBytes) + grid * C::kTokens;
  }
};

// Before the first product of a group, integers: the sums start as what zero points take off them, in the form that
// FoldGroup reads.
template <class C>
__device__ __forceinline__ void StartGroup(const ExpertMatrix& expert, const WarpPlace<C>& at, const uint8_t* stage,
                                           int grid, GemmSums<C>& sums) {
  const StageGrids<C> grids(stage, grid);
  const bool zeros = expert.zeros != nullptr;
#pragma unroll
  for (int n = 0; n < C::kTokenTiles; ++n) {
    const int2 x_sums =  // of the lane's two tokens
        ptx::LoadShared(reinterpret_cast<const int2*>(grids.x_sums) + (at.token + n * 8) / 2 + at.lane % 4);
#pragma unroll
    for (int m = 0; m < C::kRowTiles; ++m) {
      const int row = at.row + m * 16 + at.lane / 4;
      // Without zero points what is read in their place counts 0 times.
      const int shift = SumShift<C>(m), middle = SumMiddle<C>(m) - (zeros ? 0 : 1 << (C::kWeightBits - 1));
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int zero = ptx::MultiplyAdd(zeros ? -(1 << shift) : 0, grids.zeros[row + 8 * h], middle * (1 << shift));
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const int start = OnTop<C>(m) ? sums.part[m - 1][n][2 * h + c] : kFloatOfInteger;
          sums.part[m][n][2 * h + c] = start + zero * (c == 0 ? x_sums.x : x_sums.y);
        }
      }
    }
  }
}

// At the end of a group: total += scale * part.
template <class C>
__device__ __forceinline__ void FoldGroup(const WarpPlace<C>& at, const uint8_t* stage, int grid, GemmSums<C>& sums) {
  const StageGrids<C> grids(stage, grid);
  sums.Join();
#pragma unroll
  for (int m = 0; m < C::kRowTiles; ++m) {
    const int row = at.row + m * 16 + at.lane / 4;
    const float scale[2] = {ToFloat(grids.scales[row]), ToFloat(grids.scales[row + 8])};
#pragma unroll
    for (int n = 0; n < C::kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float exact;
        if constexpr (C::kFloat) {
          exact = sums.part[m][n][i];
          sums.part[m][n][i] = 0;
        } else {
          int part = sums.part[m][n][i];
          if (OnTop<C>(m)) part = part - sums.part[m - 1][n][i] + kFloatOfInteger;
          exact = __int_as_float(part) - __int_as_float(kFloatOfInteger);
        }
        sums.total[m][n][i] = fmaf(scale[i / 2], exact, sums.total[m][n][i]);
      }
    }
  }
}

template <class C>
__device__ __forceinline__ void MultiplyStage(const ExpertMatrix& expert, const WarpPlace<C>& at, const uint8_t* stage,
                                              uint32_t (&row_zeros)[C::kRowTiles][2], GemmSums<C>& sums) {
  using F = typename C::F;
  constexpr int kSteps = F::kGroups * F::kProducts;  // products along a brick
  constexpr int kAtOnce = ProductsAtOnce<C>();
  constexpr int kStepsOfGrid = kSteps / (C::kGrouped ? C::kGrids : 1);
  const uint8_t* const tokens = stage + C::kWeightBytes;
  // Unrolled where the ring is: code size.
#pragma unroll C::kUnrollRing ? C::kBricks : 1
  for (int brick = 0; brick < C::kBricks; ++brick) {
    typename F::Words words[C::kRowBricks];
    uint32_t b[ProductsAtOnce<C>()][C::kTokenTiles][2];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int grid = brick * C::kGrids + step * C::kGrids / kSteps;
      if constexpr (C::kGrouped && !C::kFloat) {
        if (step % kStepsOfGrid == 0) StartGroup<C>(expert, at, stage, grid, sums);
      }
      if (C::kGrouped && C::kFloat && step % kStepsOfGrid == 0) {
        const uint8_t* const zeros = StageGrids<C>(stage, grid).zeros;
#pragma unroll
        for (int m = 0; m < C::kRowTiles; ++m) {
          const int row = at.row + m * 16 + at.lane / 4;
          const bool some = expert.zeros != nullptr;
          row_zeros[m][0] = ZeroAsBf16(some ? zeros[row] : 1 << (C::kWeightBits - 1));
          row_zeros[m][1] = ZeroAsBf16(some ? zeros[row + 8] : 1 << (C::kWeightBits - 1));
        }
      }
      if (step % F::kProducts == 0) {
#pragma unroll
        for (int m = 0; m < C::kRowBricks; ++m) {
          const int row_brick = at.row / C::kBrickRows + m;
          words[m] = F::Load(stage + (row_brick * C::kBricks + brick) * C::kBrickBytes, step / F::kProducts);
        }
      }
      const int of_tokens = step / F::kStepsOfTokens;
      if (step % (kAtOnce * F::kStepsOfTokens) == 0) {
        LoadTokens<C>(tokens, at, brick * C::kTokenBrickBytes + of_tokens * 32, b);
      }
#pragma unroll
      for (int m = 0; m < C::kRowTiles; ++m) {
        uint32_t w[4];
        F::Expand(w, words[m / C::kBrickTiles], m % C::kBrickTiles, C::kOnTop, step % F::kProducts, row_zeros[m]);
#pragma unroll
        for (int n = 0; n < C::kTokenTiles; ++n) {
          if constexpr (GemmSums<C>::kTwo) {
            F::Multiply(step % 2 == 0 ? sums.part[m][n] : sums.odd, w, b[of_tokens % kAtOnce][n], step % F::kProducts);
          } else {
            F::Multiply(sums.part[m][n], w, b[of_tokens % kAtOnce][n], step % F::kProducts);
          }
        }
      }
      if (C::kGrouped && (step + 1) % kStepsOfGrid == 0) FoldGroup<C>(at, stage, grid, sums);
    }
  }
}

// Sums -> results -> memory. kSwiGlu: the lane's two rows of a tile are gate and up of one output.
template <class C, bool kSwiGlu>
__device__ __forceinline__ void StoreTile(const GroupedGemmArguments& a, const ExpertMatrix& expert,
                                          const WarpPlace<C>& at, const GemmTile& tile, const int* table, int bricks,
                                          int padded_rows, const GemmSums<C>& sums) {
  // Of the lane's rows: scale, column sum (an exact integer unless grouped), zero point.
  float scale[C::kRowTiles][2], column_sum[C::kRowTiles][2];
  int zero[C::kRowTiles][2];
#pragma unroll
  for (int m = 0; m < C::kRowTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = tile.first_row + at.row + m * 16 + at.lane / 4 + 8 * h;
      const bool exists = row < padded_rows;
      scale[m][h] = C::kGrouped || !exists ? 1.0f : ToFloat(Half{expert.scales[row]});
      column_sum[m][h] = exists && a.x_zeros != nullptr ? expert.column_sums[row] : 0.0f;
      zero[m][h] = 0;
      if (!C::kFloat && !C::kGrouped && exists) {
        zero[m][h] = (expert.zeros != nullptr ? expert.zeros[row] : 1 << (C::kWeightBits - 1)) - SumMiddle<C>(m);
      }
    }
  }
  constexpr int kStep = kSwiGlu ? 8 : 16;  // outputs of a row tile
  const int first_output = (tile.first_row + at.row) / (kSwiGlu ? 2 : 1) + at.lane / 4;
  const int left = static_cast<int>(a.outputs) - first_output;
#pragma unroll
  for (int n = 0; n < C::kTokenTiles; ++n) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int token = at.token + n * 8 + at.lane % 4 * 2 + c;
      if (token >= tile.slots) continue;
      const int64_t slot = tile.first_slot + token;
      float x_scale = 1.0f, factor = 1.0f;
      int x_zero = 0, x_sum = 0;
      if constexpr (!C::kFloat) {
        const int64_t x_row = table[token];
        x_scale = a.x_scales[x_row];
        if (a.x_zeros != nullptr) x_zero = a.x_zeros[x_row];
        if (!C::kGrouped && (C::kPaired || expert.zeros != nullptr)) {
          const int64_t sums_of_row = bricks * a.x_sums_of_brick;
          x_sum = a.x_sums[x_row * (sums_of_row + 1) + sums_of_row];
        }
      }
      if (a.pair_weights != nullptr) factor = a.pair_weights[a.pair_of_slot[slot]];
      const auto store = [&](int offset, float value) {
        if (offset >= left) return;
        int column = first_output + offset;
        if (expert.outputs != nullptr) {
          column = expert.outputs[column];
          if (column < 0) return;
        }
        const int64_t to = slot * a.ldy + column;
        if (a.y != nullptr) {
          a.y[to] = value * factor;
        } else {
          a.y_bf16[to] = ToBf16(value * factor).bits;
        }
      };
#pragma unroll
      for (int m = 0; m < C::kRowTiles; ++m) {
        float value[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int i = 2 * h + c;
          if constexpr (C::kGrouped) {
            // A power of two costs no bit.
            const float total = C::kFloat ? sums.total[m][n][i] : sums.total[m][n][i] * (1.0f / (1 << SumShift<C>(m)));
            value[h] = C::kFloat ? total : x_scale * (total - static_cast<float>(x_zero) * column_sum[m][h]);
          } else if constexpr (C::kFloat) {
            value[h] = scale[m][h] * sums.part[m][n][i];
          } else {
            const int sum = sums.part[m][n][i] - (OnTop<C>(m) ? sums.part[m - 1][n][i] : 0);
            const int whole =
                (sum >> SumShift<C>(m)) - zero[m][h] * x_sum - x_zero * static_cast<int>(column_sum[m][h]);
            value[h] = x_scale * scale[m][h] * static_cast<float>(whole);
          }
        }
        if constexpr (kSwiGlu) {
          store(m * kStep, __fdividef(value[0], 1.0f + expf(-value[0])) * value[1]);
        } else {
          store(m * kStep, value[0]);
          store(m * kStep + 8, value[1]);
        }
      }
    }
  }
}

// What all tiles of a launch have in common.
template <class C>
struct GemmShape {
  int bricks, steps, padded_rows, row_tiles, tiles;
  __device__ __forceinline__ explicit GemmShape(const GroupedGemmArguments& a) {
    bricks = static_cast<int>((a.cols + 127) / 128);
    steps = (bricks + C::kBricks - 1) / C::kBricks;
    padded_rows = static_cast<int>((a.rows + 15) / 16) * 16;
    row_tiles = (padded_rows + C::kRows - 1) / C::kRows;
    tiles = a.tile_offsets[a.expert_count] * row_tiles;  // below 2^31: LaunchGroupedGemm
  }
};

// A tile's first stages, from the start of the ring on.
template <class C>
__device__ __forceinline__ void StartTile(const GroupedGemmArguments& a, const GemmTile& tile,
                                          const ExpertMatrix& expert, const int* table, const GemmShape<C>& shape,
                                          uint8_t* stages, TileCopies<C>& copies) {
  copies.Start(a, tile, expert, table, shape.bricks, shape.padded_rows);
#pragma unroll
  for (int s = 0; s < C::kStages - 1; ++s) {
    if (s < shape.steps) copies.template Copy<false>(a, shape.bricks, s, stages + s * C::kStageBytes);
    ptx::CommitCopies();
  }
  copies.Advance(C::kStages - 1);
}

// All stages of a tile that StartTile has started.
template <class C>
__device__ __forceinline__ void MultiplyTile(const GroupedGemmArguments& a, const GemmTile& tile,
                                             const ExpertMatrix& expert, const WarpPlace<C>& at,
                                             const GemmShape<C>& shape, uint8_t* stages, TileCopies<C>& copies,
                                             GemmSums<C>& sums) {
  const int bricks = shape.bricks, steps = shape.steps, padded_rows = shape.padded_rows;
  uint32_t row_zeros[C::kRowTiles][2] = {};
  if constexpr (C::kFloat && !C::kGrouped) {
#pragma unroll
    for (int m = 0; m < C::kRowTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = tile.first_row + at.row + m * 16 + at.lane / 4 + 8 * h;
        const bool some = expert.zeros != nullptr && row < padded_rows;
        row_zeros[m][h] = ZeroAsBf16(some ? expert.zeros[row] : 1 << (C::kWeightBits - 1));
      }
    }
  }
  int step = 0;
  // Whole turns of the ring: its places are constants, and copies exist for all of them.
  if constexpr (C::kUnrollRing) {
    for (const int whole_steps = bricks / C::kBricks; step + 2 * C::kStages - 1 <= whole_steps; step += C::kStages) {
#pragma unroll
      for (int s = 0; s < C::kStages; ++s) {
        ptx::WaitCopies<C::kStages - 2>();
        __syncthreads();
        copies.template Copy<true>(a, bricks, s, stages + (s + C::kStages - 1) % C::kStages * C::kStageBytes);
        ptx::CommitCopies();
        MultiplyStage<C>(expert, at, stages + s * C::kStageBytes, row_zeros, sums);
      }
      copies.Advance(C::kStages);
    }
  }
  int read = 0, write = C::kStages - 1;  // places in the ring
  for (; step < steps; ++step) {
    ptx::WaitCopies<C::kStages - 2>();
    __syncthreads();  // the stage is there for all; the one that is overwritten next has been used by all
    if (step + C::kStages - 1 < steps) {
      copies.template Copy<false>(a, bricks, 0, stages + write * C::kStageBytes);
      copies.Advance(1);
    }
    ptx::CommitCopies();
    MultiplyStage<C>(expert, at, stages + read * C::kStageBytes, row_zeros, sums);
    read = read + 1 == C::kStages ? 0 : read + 1;
    write = write + 1 == C::kStages ? 0 : write + 1;
  }

  sums.Join();
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, C::kBlocks) GroupedGemmKernel(GroupedGemmArguments a) {
  EAQ_DYNAMIC_SHARED(uint8_t, stages);
  int* const tables = reinterpret_cast<int*>(stages + C::kStages * C::kStageBytes);  // two, by turns
  const GemmShape<C> shape(a);
  const WarpPlace<C> at;

  int index = static_cast<int>(blockIdx.x);
  GemmTile tile = FindTile<C>(a, shape.row_tiles, index);  // while the number of tiles is on its way
  if (index >= shape.tiles) return;
  ExpertMatrix expert = a.experts[tile.expert];
  int* table = tables;
  FillRowTable<C>(a, tile, table);
  __syncthreads();
  TileCopies<C> copies;
  StartTile<C>(a, tile, expert, table, shape, stages, copies);

  while (true) {
    GemmSums<C> sums = {};
    MultiplyTile<C>(a, tile, expert, at, shape, stages, copies, sums);

    // The next tile's copies start before this one's results are written.
    index += static_cast<int>(gridDim.x);
    const GemmTile done = tile;
    const int* const done_table = table;
    const bool more = index < shape.tiles;
    if (more) {
      tile = FindTile<C>(a, shape.row_tiles, index);
      expert = a.experts[tile.expert];
      table = table == tables ? tables + C::kTokens : tables;
      FillRowTable<C>(a, tile, table);
    }
    ptx::WaitCopies<0>();  // only empty groups are left, but the ring starts anew
    __syncthreads();
    if (more) StartTile<C>(a, tile, expert, table, shape, stages, copies);
    const ExpertMatrix done_expert = a.experts[done.expert];  // read anew: kept, it would cost registers above
    if (a.swiglu) {
      StoreTile<C, true>(a, done_expert, at, done, done_table, shape.bricks, shape.padded_rows, sums);
    } else {
      StoreTile<C, false>(a, done_expert, at, done, done_table, shape.bricks, shape.padded_rows, sums);
    }
    if (!more) return;
  }
}

template <class C>
int LaunchGroupedGemm(const GroupedGemmArguments& a, void* stream) {
  // An index may pass the last tile by a grid.
  const int64_t most = MostTiles(C::kShape, a.rows, a.slots, a.expert_count);
  if (most >= (int64_t{1} << 30)) return 1;  // cudaErrorInvalidValue
  const int64_t blocks = PersistentGrid(most, C::kBlocks, C::kSharedBytes, a.machine);
  EAQ_LAUNCH(GroupedGemmKernel<C>, static_cast<unsigned>(blocks), C::kThreads, C::kSharedBytes, stream, a);
  return EAQ_LAUNCH_ERROR();
}

template <int kWeightBits, int kActivationBits, int kGrids, int kTokenTile, bool kMany>
int LaunchTile(const GroupedGemmArguments& a, void* stream) {
  constexpr GemmTileShape t = ChooseTile({kWeightBits, kActivationBits, kGrids}, kTokenTile, kMany);
  return LaunchGroupedGemm<GemmConfig<kWeightBits, kActivationBits, kGrids, t.row_warps, t.token_warps, t.row_tiles,
                                      t.token_tiles, t.bricks, t.stages, t.blocks>>(a, stream);
}

template <int kWeightBits, int kActivationBits, int kGrids>
int LaunchFormat(const GroupedGemmArguments& a, void* stream) {
  constexpr int W = kWeightBits, A = kActivationBits;
  constexpr int G = kGrids;
  switch (a.token_tile) {
    case 8:
      return ManyTiles(a.slots, a.expert_count, a.rows, a.machine.multiprocessors)
                 ? LaunchTile<W, A, G, 8, true>(a, stream)
                 : LaunchTile<W, A, G, 8, false>(a, stream);
    case 16:
      return LaunchTile<W, A, G, 16, true>(a, stream);
    case 32:
      return LaunchTile<W, A, G, 32, true>(a, stream);
    case 128:
      return LaunchTile<W, A, G, 128, true>(a, stream);
    default:
      return 1;
  }
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_KERNEL_H_

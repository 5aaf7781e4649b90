// Device code of grouped_gemm: the persistent kernel, a template over format and tile (grouped_gemm.h says what it
// does).
#ifndef KERNELS_CUDA_GROUPED_GEMM_KERNEL_H_
#define KERNELS_CUDA_GROUPED_GEMM_KERNEL_H_

#include <cstdint>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/grouped_gemm_fragments.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

// kWeightBits x kActivationBits, one grid per 128 columns (kGrouped) or per row. A block's tile is kRowWarps *
// kRowTiles * 16 outputs x kTokenWarps * kTokenTiles * 8 tokens; kBricks bricks of 128 columns a stage; kBlocks: blocks
// on a multiprocessor that registers are limited for.
template <int kWeightBits_, int kActivationBits_, bool kGrouped_, int kRowWarps_, int kTokenWarps_, int kRowTiles_,
          int kTokenTiles_, int kBricks_, int kStages_, int kBlocks_>
struct GemmConfig {
  static constexpr int kWeightBits = kWeightBits_, kActivationBits = kActivationBits_;
  static constexpr bool kGrouped = kGrouped_;
  static constexpr int kRowWarps = kRowWarps_, kTokenWarps = kTokenWarps_, kRowTiles = kRowTiles_,
                       kTokenTiles = kTokenTiles_, kBricks = kBricks_, kStages = kStages_, kBlocks = kBlocks_;
  using F = Fragments<kWeightBits, kActivationBits>;
  static constexpr bool kFloat = kActivationBits == 16;
  static constexpr int kThreads = 32 * kRowWarps * kTokenWarps;
  static constexpr int kRows = kRowWarps * kRowTiles * 16, kTokens = kTokenWarps * kTokenTiles * 8;
  // One stage: weights, tokens, scales, zero points.
  static constexpr int kBrickBytes = 256 * kWeightBits;
  static constexpr int kWeightBytes = kRows / 16 * kBricks * kBrickBytes;
  static constexpr int kTokenBrickBytes = 16 * kActivationBits;  // of one token
  static constexpr int kTokenBytes = kTokens * kBricks * kTokenBrickBytes;
  static constexpr int kScaleBytes = kGrouped ? kBricks * kRows * 2 : 0;
  static constexpr int kZeroBytes = kGrouped ? kBricks * kRows : 0;
  static constexpr int kStageBytes = kWeightBytes + kTokenBytes + kScaleBytes + kZeroBytes;
  static constexpr int kRowTableBytes = 2 * kTokens * 4;
  static constexpr int kSharedBytes = kStages * kStageBytes + kRowTableBytes;
  // Tokens lie in pieces of 128 bytes (64 where a stage has no more), [piece][token][bytes].
  static constexpr int kPiece = kBricks * kTokenBrickBytes < 128 ? kBricks * kTokenBrickBytes : 128;
  static_assert(kStageBytes % 128 == 0 || kStageBytes % 16 == 0, "16-byte copies");
};

// Byte `byte` (a multiple of 16) of a token's part of a stage. XOR with the token's number spreads eight rows of
// ldmatrix over all banks.
template <class C>
__device__ __forceinline__ int TokenOffset(int token, int byte) {
  const int piece = byte / C::kPiece, chunk = byte % C::kPiece / 16;
  const int swizzled = C::kPiece == 128 ? chunk ^ (token & 7) : chunk ^ (token >> 1 & 3);
  return (piece * C::kTokens + token) * C::kPiece + swizzled * 16;
}

struct GemmTile {
  int expert;
  int first_row;  // output
  int first_slot;
  int slots;
};

// Tile `index` of the list: expert by expert, within an expert all its slot tiles for the first kRows outputs, then the
// next outputs.
template <class C>
__device__ __forceinline__ GemmTile FindTile(const GroupedGemmArguments& a, int row_tiles, int64_t index) {
  int low = 0,
      high = static_cast<int>(a.expert_count);  // tiles of `low` start at or before index; those of `high` after
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (static_cast<int64_t>(a.tile_offsets[middle]) * row_tiles <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int first = a.tile_offsets[low], count = a.tile_offsets[low + 1] - first;
  const int local = static_cast<int>(index - static_cast<int64_t>(first) * row_tiles);
  GemmTile tile;
  tile.expert = low;
  tile.first_row = local / count * C::kRows;
  tile.first_slot = a.offsets[low] + local % count * C::kTokens;
  const int left = a.offsets[low + 1] - tile.first_slot;
  tile.slots = left < C::kTokens ? left : C::kTokens;
  return tile;
}

// table[i]: the row of x that slot i of the tile reads, -1 beyond its slots.
template <class C>
__device__ __forceinline__ void FillRowTable(const GroupedGemmArguments& a, const GemmTile& tile, int* table) {
  for (int i = threadIdx.x; i < C::kTokens; i += C::kThreads) {
    int row = -1;
    if (i < tile.slots) {
      row = tile.first_slot + i;
      if (a.x_rows != nullptr) row = a.x_rows[row] / a.x_row_divisor;
    }
    table[i] = row;
  }
}

// Starts the copies of stage `step` of a tile; who copies what is fixed by the thread's number.
template <class C>
__device__ __forceinline__ void CopyStage(const GroupedGemmArguments& a, const GemmTile& tile,
                                          const ExpertMatrix& expert, const int* table, int bricks, int padded_rows,
                                          int step, uint8_t* stage) {
  const int brick0 = step * C::kBricks;
  constexpr int kRunChunks = C::kBricks * C::kBrickBytes / 16;  // of one row brick: contiguous in memory
#pragma unroll
  for (int i = 0; i < C::kWeightBytes / 16; i += C::kThreads) {
    const int chunk = i + threadIdx.x;
    if (C::kWeightBytes / 16 % C::kThreads != 0 && chunk >= C::kWeightBytes / 16) break;
    const int row_brick = chunk / kRunChunks, in_run = chunk % kRunChunks;
    const bool valid = tile.first_row + row_brick * 16 < padded_rows && brick0 + in_run * 16 / C::kBrickBytes < bricks;
    const int64_t brick = static_cast<int64_t>(tile.first_row / 16 + row_brick) * bricks + brick0;
    ptx::CopyAsync16(stage + chunk * 16, valid ? expert.codes + brick * C::kBrickBytes + in_run * 16 : expert.codes,
                     valid);
  }
  constexpr int kTokenChunks = C::kBricks * C::kTokenBrickBytes / 16;  // of one token
  uint8_t* const tokens = stage + C::kWeightBytes;
  const uint8_t* const x = static_cast<const uint8_t*>(a.x);
#pragma unroll
  for (int i = 0; i < C::kTokenBytes / 16; i += C::kThreads) {
    const int chunk = i + threadIdx.x;
    if (C::kTokenBytes / 16 % C::kThreads != 0 && chunk >= C::kTokenBytes / 16) break;
    const int token = chunk / kTokenChunks, byte = chunk % kTokenChunks * 16;
    const int row = table[token];
    const bool valid = row >= 0 && brick0 + byte / C::kTokenBrickBytes < bricks;
    const int64_t at = (static_cast<int64_t>(row) * bricks + brick0) * C::kTokenBrickBytes + byte;
    ptx::CopyAsync16(tokens + TokenOffset<C>(token, byte), valid ? x + at : x, valid);
  }
  if constexpr (C::kGrouped) {
    // [brick][row] halves, then [brick][row] bytes.
    uint8_t* const scales = tokens + C::kTokenBytes;
    constexpr int kChunks = C::kRows / 8, kZeroChunks = C::kRows / 16;
    for (int chunk = threadIdx.x; chunk < C::kBricks * kChunks; chunk += C::kThreads) {
      const int brick = brick0 + chunk / kChunks, row = tile.first_row + chunk % kChunks * 8;
      const bool valid = brick < bricks && row < padded_rows;
      const int64_t at = static_cast<int64_t>(brick) * padded_rows + row;
      ptx::CopyAsync16(scales + chunk * 16, valid ? expert.scales + at : expert.scales, valid);
    }
    if (expert.zeros != nullptr) {
      uint8_t* const zeros = scales + C::kScaleBytes;
      for (int chunk = threadIdx.x; chunk < C::kBricks * kZeroChunks; chunk += C::kThreads) {
        const int brick = brick0 + chunk / kZeroChunks, row = tile.first_row + chunk % kZeroChunks * 16;
        const bool valid = brick < bricks && row < padded_rows;
        const int64_t at = static_cast<int64_t>(brick) * padded_rows + row;
        ptx::CopyAsync16(zeros + chunk * 16, valid ? expert.zeros + at : expert.zeros, valid);
      }
    }
  }
}

// The sums of a warp. Grouped ones have an exact part for the running group beside the float sum.
template <class C>
struct GemmSums {
  typename C::F::Sum part[C::kRowTiles][C::kTokenTiles][4];
  float total[C::kGrouped ? C::kRowTiles : 1][C::kGrouped ? C::kTokenTiles : 1][4];
};

template <class C>
__device__ __forceinline__ int ExactSum(int32_t sum) {
  return sum >> (C::kActivationBits == 4 && !Int4ByInt8() ? 0 : C::F::kShift);
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

// The B operands of the warp's tokens at byte `byte` of their part of the stage: 32 bytes of each.
template <class C>
__device__ __forceinline__ void LoadTokens(const uint8_t* tokens, const WarpPlace<C>& at, int byte,
                                           uint32_t (&b)[C::kTokenTiles][2]) {
  if constexpr (C::kTokenTiles % 2 == 0) {
#pragma unroll
    for (int n = 0; n < C::kTokenTiles; n += 2) {
      const int token = at.token + n * 8 + (at.lane & 7) + (at.lane >> 4) * 8;
      uint32_t r[4];
      ptx::LoadMatrix4(r, tokens + TokenOffset<C>(token, byte + (at.lane >> 3 & 1) * 16));
      b[n][0] = r[0];
      b[n][1] = r[1];
      b[n + 1][0] = r[2];
      b[n + 1][1] = r[3];
    }
  } else {
#pragma unroll
    for (int n = 0; n < C::kTokenTiles; ++n) {
      const int token = at.token + n * 8 + (at.lane & 7);
      ptx::LoadMatrix2(b[n], tokens + TokenOffset<C>(token, byte + (at.lane >> 3 & 1) * 16));
    }
  }
}

// At the end of brick `brick` (of the matrix), `in_stage` of its stage: total += scale * part.
template <class C>
__device__ __forceinline__ void FoldGroup(const GroupedGemmArguments& a, const ExpertMatrix& expert,
                                          const WarpPlace<C>& at, const int* table, const uint8_t* stage, int brick,
                                          int in_stage, int bricks, GemmSums<C>& sums) {
  const uint8_t* const scales = stage + C::kWeightBytes + C::kTokenBytes + in_stage * C::kRows * 2;
  const uint8_t* const zeros = stage + C::kWeightBytes + C::kTokenBytes + C::kScaleBytes + in_stage * C::kRows;
  const bool corrected = !C::kFloat && expert.zeros != nullptr;
#pragma unroll
  for (int m = 0; m < C::kRowTiles; ++m) {
    const int row = at.row + m * 16 + at.lane / 4;
    const float scale[2] = {ToFloat(reinterpret_cast<const Half*>(scales)[row]),
                            ToFloat(reinterpret_cast<const Half*>(scales)[row + 8])};
    int zero[2] = {0, 0};
    if (corrected) {
      zero[0] = zeros[row] - (1 << (C::kWeightBits - 1));
      zero[1] = zeros[row + 8] - (1 << (C::kWeightBits - 1));
    }
#pragma unroll
    for (int n = 0; n < C::kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float exact;
        if constexpr (C::kFloat) {
          exact = sums.part[m][n][i];
        } else {
          int whole = ExactSum<C>(sums.part[m][n][i]);
          if (corrected) {
            const int x_row = table[at.token + n * 8 + at.lane % 4 * 2 + i % 2];
            if (x_row >= 0 && brick < bricks) {
              whole -= zero[i / 2] * a.x_sums[static_cast<int64_t>(x_row) * (bricks + 1) + brick];
            }
          }
          exact = static_cast<float>(whole);
        }
        sums.total[m][n][i] = fmaf(scale[i / 2], exact, sums.total[m][n][i]);
        sums.part[m][n][i] = 0;
      }
    }
  }
}

template <class C>
__device__ __forceinline__ void MultiplyStage(const GroupedGemmArguments& a, const ExpertMatrix& expert,
                                              const WarpPlace<C>& at, const int* table, const uint8_t* stage, int step,
                                              int bricks, uint32_t (&row_zeros)[C::kRowTiles][2], GemmSums<C>& sums) {
  using F = typename C::F;
  const uint8_t* const tokens = stage + C::kWeightBytes;
  // Unrolled only where an expansion depends on nothing but the step: code size.
#pragma unroll 1
  for (int brick = 0; brick < C::kBricks; ++brick) {
    if constexpr (C::kGrouped && C::kFloat) {
      const uint8_t* const zeros = tokens + C::kTokenBytes + C::kScaleBytes + brick * C::kRows;
#pragma unroll
      for (int m = 0; m < C::kRowTiles; ++m) {
        const int row = at.row + m * 16 + at.lane / 4;
        const bool some = expert.zeros != nullptr;
        row_zeros[m][0] = ZeroAsBf16(some ? zeros[row] : 1 << (C::kWeightBits - 1));
        row_zeros[m][1] = ZeroAsBf16(some ? zeros[row + 8] : 1 << (C::kWeightBits - 1));
      }
    }
#pragma unroll
    for (int g = 0; g < F::kGroups; ++g) {
      typename F::Words words[C::kRowTiles];
#pragma unroll
      for (int m = 0; m < C::kRowTiles; ++m) {
        const int row_brick = at.row / 16 + m;
        words[m] = F::Load(stage + (row_brick * C::kBricks + brick) * C::kBrickBytes, g);
      }
#pragma unroll
      for (int p = 0; p < F::kProducts; ++p) {
        uint32_t b[C::kTokenTiles][2];
        LoadTokens<C>(tokens, at, brick * C::kTokenBrickBytes + (g * F::kProducts + p) * 32, b);
#pragma unroll
        for (int m = 0; m < C::kRowTiles; ++m) {
          uint32_t w[4];
          F::Expand(w, words[m], p, row_zeros[m]);
#pragma unroll
          for (int n = 0; n < C::kTokenTiles; ++n) F::Multiply(sums.part[m][n], w, b[n]);
        }
      }
    }
    if constexpr (C::kGrouped) {
      FoldGroup<C>(a, expert, at, table, stage, step * C::kBricks + brick, brick, bricks, sums);
    }
  }
}

__device__ __forceinline__ void StoreResult(const GroupedGemmArguments& a, int64_t slot, int64_t output, float value) {
  if (output >= a.outputs) return;
  if (a.y != nullptr) {
    a.y[slot * a.ldy + output] = value;
  } else {
    a.y_bf16[slot * a.ldy + output] = ToBf16(value).bits;
  }
}

// Sums -> results -> memory.
template <class C>
__device__ __forceinline__ void StoreTile(const GroupedGemmArguments& a, const ExpertMatrix& expert,
                                          const WarpPlace<C>& at, const GemmTile& tile, const int* table, int bricks,
                                          int padded_rows, const GemmSums<C>& sums) {
  // Of the lane's rows: scale, column sum, zero point.
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
      if (!C::kFloat && !C::kGrouped && exists && expert.zeros != nullptr) {
        zero[m][h] = expert.zeros[row] - (1 << (C::kWeightBits - 1));
      }
    }
  }
#pragma unroll
  for (int n = 0; n < C::kTokenTiles; ++n) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int token = at.token + n * 8 + at.lane % 4 * 2 + c;
      if (token >= tile.slots) continue;
      const int64_t slot = tile.first_slot + token, x_row = table[token];
      float x_scale = 1.0f, factor = 1.0f;
      int x_zero = 0, x_sum = 0;
      if constexpr (!C::kFloat) {
        x_scale = a.x_scales[x_row];
        if (a.x_zeros != nullptr) x_zero = a.x_zeros[x_row];
        if (!C::kGrouped && expert.zeros != nullptr) x_sum = a.x_sums[x_row * (bricks + 1) + bricks];
      }
      if (a.pair_weights != nullptr) factor = a.pair_weights[a.pair_of_slot[slot]];
#pragma unroll
      for (int m = 0; m < C::kRowTiles; ++m) {
        float value[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const int i = 2 * h + c;
          if constexpr (C::kGrouped) {
            const float total = sums.total[m][n][i];
            value[h] = C::kFloat ? total : x_scale * (total - static_cast<float>(x_zero) * column_sum[m][h]);
          } else if constexpr (C::kFloat) {
            value[h] = scale[m][h] * sums.part[m][n][i];
          } else {
            const int whole =
                ExactSum<C>(sums.part[m][n][i]) - zero[m][h] * x_sum - x_zero * static_cast<int>(column_sum[m][h]);
            value[h] = x_scale * scale[m][h] * static_cast<float>(whole);
          }
        }
        const int64_t row = tile.first_row + at.row + m * 16;
        if (a.swiglu) {
          const float silu = value[0] / (1.0f + expf(-value[0]));
          StoreResult(a, slot, row / 2 + at.lane / 4, silu * value[1] * factor);
        } else {
          StoreResult(a, slot, row + at.lane / 4, value[0] * factor);
          StoreResult(a, slot, row + at.lane / 4 + 8, value[1] * factor);
        }
      }
    }
  }
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, C::kBlocks) GroupedGemmKernel(GroupedGemmArguments a) {
  EAQ_DYNAMIC_SHARED(uint8_t, stages);
  int* const tables = reinterpret_cast<int*>(stages + C::kStages * C::kStageBytes);  // two, by turns
  const int bricks = static_cast<int>((a.cols + 127) / 128), steps = (bricks + C::kBricks - 1) / C::kBricks;
  const int padded_rows = static_cast<int>((a.rows + 15) / 16) * 16;
  const int row_tiles = (padded_rows + C::kRows - 1) / C::kRows;
  const int64_t tiles = static_cast<int64_t>(a.tile_offsets[a.expert_count]) * row_tiles;
  const WarpPlace<C> at;

  int64_t index = blockIdx.x;
  if (index >= tiles) return;
  GemmTile tile = FindTile<C>(a, row_tiles, index);
  ExpertMatrix expert = a.experts[tile.expert];
  int* table = tables;
  FillRowTable<C>(a, tile, table);
  __syncthreads();
  for (int s = 0; s < C::kStages - 1; ++s) {
    if (s < steps) CopyStage<C>(a, tile, expert, table, bricks, padded_rows, s, stages + s * C::kStageBytes);
    ptx::CommitCopies();
  }

  while (true) {
    GemmSums<C> sums = {};
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
    int read = 0, write = C::kStages - 1;  // places in the ring
    for (int step = 0; step < steps; ++step) {
      ptx::WaitCopies<C::kStages - 2>();
      __syncthreads();  // the stage is there for all; the one that is overwritten next has been used by all
      const int next = step + C::kStages - 1;
      if (next < steps) {
        CopyStage<C>(a, tile, expert, table, bricks, padded_rows, next, stages + write * C::kStageBytes);
      }
      ptx::CommitCopies();
      MultiplyStage<C>(a, expert, at, table, stages + read * C::kStageBytes, step, bricks, row_zeros, sums);
      read = read + 1 == C::kStages ? 0 : read + 1;
      write = write + 1 == C::kStages ? 0 : write + 1;
    }

    // The next tile's copies start before this one's results are written.
    index += gridDim.x;
    const GemmTile done = tile;
    const ExpertMatrix done_expert = expert;
    const int* const done_table = table;
    const bool more = index < tiles;
    if (more) {
      tile = FindTile<C>(a, row_tiles, index);
      expert = a.experts[tile.expert];
      table = table == tables ? tables + C::kTokens : tables;
      FillRowTable<C>(a, tile, table);
    }
    ptx::WaitCopies<0>();  // only empty groups are left, but the ring starts anew
    __syncthreads();
    for (int s = 0; s < C::kStages - 1 && more; ++s) {
      if (s < steps) CopyStage<C>(a, tile, expert, table, bricks, padded_rows, s, stages + s * C::kStageBytes);
      ptx::CommitCopies();
    }
    StoreTile<C>(a, done_expert, at, done, done_table, bricks, padded_rows, sums);
    if (!more) return;
  }
}

// Blocks: as many as fit on the device at once, no more than there can be tiles.
template <class C>
int LaunchGroupedGemm(const GroupedGemmArguments& a, void* stream) {
  const int64_t row_tiles = ((a.rows + 15) / 16 * 16 + C::kRows - 1) / C::kRows;
  int64_t slot_tiles = a.slots / C::kTokens + a.expert_count;
  if (slot_tiles > a.slots) slot_tiles = a.slots;
  int64_t blocks = static_cast<int64_t>(a.multiprocessors) * C::kBlocks;
  if (blocks > slot_tiles * row_tiles) blocks = slot_tiles * row_tiles;
  EAQ_LAUNCH(GroupedGemmKernel<C>, static_cast<unsigned>(blocks), C::kThreads, C::kSharedBytes, stream, a);
  return EAQ_LAUNCH_ERROR();
}

// The tiles of a format, by token_tile. (Chosen by measurement on an H100; shared memory fits sm_86's 99 KiB.)
template <int kWeightBits, int kActivationBits, bool kGrouped>
int LaunchFormat(const GroupedGemmArguments& a, void* stream) {
  constexpr int W = kWeightBits, A = kActivationBits;
  constexpr bool G = kGrouped;
  switch (a.token_tile) {
    case 8:
      return LaunchGroupedGemm<GemmConfig<W, A, G, 4, 1, 1, 1, W == 8 ? 1 : 2, 4, 4>>(a, stream);
    case 16:
      return LaunchGroupedGemm<GemmConfig<W, A, G, 4, 1, 1, 2, W == 8 ? 1 : 2, 4, A == 16 ? 2 : 4>>(a, stream);
    case 32:
      return LaunchGroupedGemm<GemmConfig<W, A, G, 4, 1, 1, 4, 1, 4, A == 16 ? 2 : 4>>(a, stream);
    case 128:
      if constexpr (G) {
        return LaunchGroupedGemm<GemmConfig<W, A, G, 4, 2, 2, 8, 1, A == 16 ? 2 : 3, 1>>(a, stream);
      } else {
        return LaunchGroupedGemm<GemmConfig<W, A, G, 2, 2, 4, 8, 1, A == 16 ? 2 : 3, A == 16 ? 1 : 2>>(a, stream);
      }
    default:
      return 1;
  }
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_KERNEL_H_

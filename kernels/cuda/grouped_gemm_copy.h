// Device code of grouped_gemm: what a thread copies of a tile's stages. Addresses are worked out once a tile; within it
// a stage is the last one plus constants, which fold into the instructions.
#ifndef KERNELS_CUDA_GROUPED_GEMM_COPY_H_
#define KERNELS_CUDA_GROUPED_GEMM_COPY_H_

#include <cstdint>

#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {

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

// This thread's copies of a tile. The weights of a row warp's outputs are copied by the threads of that row warp: runs
// of kRunChunks chunks of 16 bytes that follow each other in a stage, one for each row brick, and each contiguous in
// memory. Tokens and grids are shared out over the block.
template <class C>
struct TileCopies {
  static constexpr int kRunBytes = C::kBricks * C::kBrickBytes, kRunChunks = kRunBytes / 16;
  static constexpr int kSharers = 32 * C::kTokenWarps, kRowWarpChunks = C::kRowBricks * kRunChunks;
  static constexpr int kWeightCopies = (kRowWarpChunks + kSharers - 1) / kSharers;
  // Copies that stay in one run share a pointer.
  static constexpr int kCopiesOfPointer = kRunChunks % kSharers == 0 ? kRunChunks / kSharers : 1;
  static constexpr int kWeightPointers = kWeightCopies / kCopiesOfPointer;
  static constexpr int kTokenChunks = C::kBricks * C::kTokenBrickBytes / 16;  // of one token
  static constexpr int kTokenCopies = (C::kTokenBytes / 16 + C::kThreads - 1) / C::kThreads;
  // A thread copies the same place of every kTokenStride-th token: but for the row, a copy is the one before it plus
  // constants (where the swizzle, which repeats after 8 tokens, does not get between).
  static constexpr int kTokenStride = C::kThreads / kTokenChunks;
  static_assert(C::kThreads % kTokenChunks == 0, "whole tokens");
  // More pointers would cost the registers of the sums: then rows are looked up in the table for every stage, and row
  // bricks are counted from the first.
  static constexpr bool kKeepTokens = kTokenCopies <= 4, kKeepWeights = kKeepTokens || kWeightPointers <= 2;
  static constexpr int kScaleChunks = C::kRows / 8, kZeroChunks = C::kRows / 16;  // of a grid
  static constexpr int kGrids = C::kBricks * C::kGrids;                           // of a row of a stage
  static constexpr int kGridChunks = kGrids * (kScaleChunks + kZeroChunks);
  static_assert(!C::kGrouped || kGridChunks <= C::kThreads, "one copy a thread");
  // Of sums: a thread's copies are of one token, kThreads / kTokens grids apart.
  static constexpr int kSums = kGrids * C::kTokens, kSumCopies = (kSums + C::kThreads - 1) / C::kThreads;
  static_assert(C::kThreads % C::kTokens == 0 && (kSumCopies <= 1 || kSums % C::kThreads == 0), "sums of one token");

  // For the stage that `ahead` counts from.
  const uint8_t* weights[kKeepWeights ? kWeightPointers : 1];
  int last_run;                                           // not kKeepWeights: the last run that the matrix has
  const uint8_t* tokens[kKeepTokens ? kTokenCopies : 1];  // not kKeepTokens: the thread's place in row 0
  const uint8_t* grid;                                    // scales, or zero points
  int32_t grid_stride;                                    // bytes from stage to stage; 0: none for this thread
  const int32_t* sums;                                    // of the tokens' codes
  bool has_sums;                                          // whether this thread copies any
  const int* table;
  int brick;   // first of the stage
  int groups;  // grids of a row

  __device__ __forceinline__ void Start(const GroupedGemmArguments& a, const GemmTile& tile, const ExpertMatrix& expert,
                                        const int* table_, int bricks, int padded_rows) {
    table = table_;
    brick = 0;
    groups = C::kGrids == 0 ? 1 : static_cast<int>((a.cols * C::kGrids + 127) / 128);
    const int warp = threadIdx.x / 32, row_warp = warp % C::kRowWarps;
    const int thread_in_row_warp = ThreadInRowWarp();
    // Outputs beyond the matrix repeat its last brick.
    const int first_brick = tile.first_row / C::kBrickRows + row_warp * C::kRowBricks;
    const int last_brick = (padded_rows - 1) / C::kBrickRows;
    const int row_brick_bytes = bricks * C::kBrickBytes;
    last_run = last_brick - first_brick;
#pragma unroll
    for (int i = 0; i < (kKeepWeights ? kWeightPointers : 1); ++i) {
      const int chunk = i * kCopiesOfPointer * kSharers + thread_in_row_warp;
      int row_brick = kKeepWeights ? first_brick + chunk / kRunChunks : first_brick;
      row_brick = row_brick < last_brick ? row_brick : last_brick;
      weights[i] = expert.codes + static_cast<int64_t>(row_brick) * row_brick_bytes + chunk % kRunChunks * 16;
    }
    // Less than 0: the row warp is beyond the matrix, and has its last brick already.
    if (!kKeepWeights && last_run < 0) last_run = 0;
    const uint8_t* const x = static_cast<const uint8_t*>(a.x) + FirstByte();
    if constexpr (kKeepTokens) {
#pragma unroll
      for (int i = 0; i < kTokenCopies; ++i) {
        tokens[i] = HasToken(i) ? RowFrom(x, table[FirstToken() + i * kTokenStride], bricks) : x;
      }
    } else {
      tokens[0] = x;
    }
    if constexpr (C::kGrouped) {
      has_sums = false;
      grid = expert.codes;  // not read
      grid_stride = 0;
      sums = reinterpret_cast<const int32_t*>(expert.codes);
      const int chunk = threadIdx.x;
      if (chunk < kGrids * kScaleChunks) {
        const int row = tile.first_row + chunk % kScaleChunks * 8;
        if (row < padded_rows) {
          grid = reinterpret_cast<const uint8_t*>(expert.scales + (chunk / kScaleChunks * padded_rows + row));
          grid_stride = kGrids * padded_rows * 2;
        }
      } else if (chunk < kGridChunks && expert.zeros != nullptr) {
        const int zero_chunk = chunk - kGrids * kScaleChunks;
        const int row = tile.first_row + zero_chunk % kZeroChunks * 16;
        if (row < padded_rows) {
          grid = expert.zeros + (zero_chunk / kZeroChunks * padded_rows + row);
          grid_stride = kGrids * padded_rows;
        }
      }
      if (!C::kFloat && (C::kPaired || expert.zeros != nullptr) && threadIdx.x < kSums) {
        has_sums = true;
        sums = a.x_sums + static_cast<int64_t>(table[threadIdx.x % C::kTokens]) * (bricks * C::kGrids + 1) +
               threadIdx.x / C::kTokens;
      }
    }
  }

  // The next `steps` stages are done with.
  __device__ __forceinline__ void Advance(int steps) {
#pragma unroll
    for (int i = 0; i < (kKeepWeights ? kWeightPointers : 1); ++i) weights[i] += steps * kRunBytes;
#pragma unroll
    for (int i = 0; i < (kKeepTokens ? kTokenCopies : 1); ++i) tokens[i] += steps * C::kBricks * C::kTokenBrickBytes;
    if constexpr (C::kGrouped) {
      grid += steps * grid_stride;
      sums += steps * kGrids;
    }
    brick += steps * C::kBricks;
  }

  // Starts the copies of the stage `ahead` steps on. kWhole: all its columns exist; otherwise those beyond the matrix
  // become zeros.
  template <bool kWhole>
  __device__ __forceinline__ void Copy(const GroupedGemmArguments& a, int bricks, int ahead, uint8_t* stage) const {
    const int brick0 = brick + ahead * C::kBricks;
    const bool whole = kWhole || C::kBricks == 1 || brick0 + C::kBricks <= bricks;
    const int row_warp = threadIdx.x / 32 % C::kRowWarps, thread_in_row_warp = ThreadInRowWarp();
    uint8_t* const to = stage + row_warp * (kRowWarpChunks * 16) + thread_in_row_warp * 16;
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int chunk = i * kSharers + thread_in_row_warp;
      if (kRowWarpChunks % kSharers != 0 && chunk >= kRowWarpChunks) break;
      const bool valid = whole || chunk % kRunChunks < C::kBrickBytes / 16;
      const uint8_t* from = weights[kKeepWeights ? i / kCopiesOfPointer : 0];
      if constexpr (!kKeepWeights) {
        const int first = i / kCopiesOfPointer * kCopiesOfPointer * kSharers + thread_in_row_warp;
        const int run = first / kRunChunks;
        // Where several runs are copied at once, weights[0] is in the thread's own place of the first.
        from += (run < last_run ? run : last_run) * (bricks * C::kBrickBytes) +
                (first % kRunChunks - thread_in_row_warp % kRunChunks) * 16;
      }
      ptx::CopyAsync16(to + i * kSharers * 16,
                       valid ? from + (ahead * kRunBytes + i % kCopiesOfPointer * kSharers * 16) : from, valid);
    }
    uint8_t* const x = stage + C::kWeightBytes;
    const int token0 = FirstToken(), byte = FirstByte();
    const bool valid = whole || brick0 + byte / C::kTokenBrickBytes < bricks;
    uint8_t* const x_to = x + TokenOffset<C>(token0, byte);
    // Looked up before the first copy, which costs more behind a load.
    const uint8_t* from[kKeepTokens ? 1 : kTokenCopies];
    if constexpr (!kKeepTokens) {
#pragma unroll
      for (int i = 0; i < kTokenCopies; ++i) {
        if (HasToken(i)) from[i] = RowFrom(tokens[0], table[token0 + i * kTokenStride], bricks);
      }
    }
#pragma unroll
    for (int i = 0; i < kTokenCopies; ++i) {
      if (!HasToken(i)) break;
      uint8_t* const token_to = !kKeepTokens && kTokenStride % 8 == 0
                                    ? x_to + i * kTokenStride * C::kPiece
                                    : x + TokenOffset<C>(token0 + i * kTokenStride, byte);
      const uint8_t* const row = (kKeepTokens ? tokens[kKeepTokens ? i : 0] : from[kKeepTokens ? 0 : i]) +
                                 ahead * (C::kBricks * C::kTokenBrickBytes);
      ptx::CopyAsync16(token_to, valid ? row : static_cast<const uint8_t*>(a.x), valid);
    }
    if constexpr (C::kGrouped) {
      // [grid][row] halves, then [grid][row] bytes, then [grid][token] sums.
      uint8_t* const grids = x + C::kTokenBytes;
      const int chunk = threadIdx.x, zero_chunk = chunk - kGrids * kScaleChunks;
      if (grid_stride != 0) {
        const int of = zero_chunk < 0 ? chunk / kScaleChunks : zero_chunk / kZeroChunks;
        // The last brick may end before its last group.
        const bool valid = C::kGrids == 1 ? whole || brick0 + of < bricks : brick0 * C::kGrids + of < groups;
        ptx::CopyAsync16(grids + chunk * 16, valid ? grid + ahead * grid_stride : grid, valid);
      }
      if (!C::kFloat && has_sums) {
#pragma unroll
        for (int i = 0; i < kSumCopies; ++i) {
          const int of = static_cast<int>(threadIdx.x) / C::kTokens + i * (C::kThreads / C::kTokens);
          const bool valid = whole || brick0 + of / C::kGrids < bricks;
          ptx::CopyAsync4(grids + C::kScaleBytes + C::kZeroBytes + (threadIdx.x + i * C::kThreads) * 4,
                          valid ? sums + (ahead * kGrids + i * (C::kThreads / C::kTokens)) : a.x_sums, valid);
        }
      }
    }
  }

 private:
  __device__ static __forceinline__ int ThreadInRowWarp() {
    return static_cast<int>(threadIdx.x / 32 / C::kRowWarps * 32 + threadIdx.x % 32);
  }
  // What this thread copies first of the tokens' part of a stage.
  __device__ static __forceinline__ int FirstToken() { return static_cast<int>(threadIdx.x / kTokenChunks); }
  __device__ static __forceinline__ int FirstByte() { return static_cast<int>(threadIdx.x % kTokenChunks * 16); }
  // Whether its copy number I is of a token of the tile.
  __device__ static __forceinline__ bool HasToken(int i) {
    return C::kTokenBytes / 16 % C::kThreads == 0 || FirstToken() + i * kTokenStride < C::kTokens;
  }
  // The same place of row ROW as FROM is of row 0.
  __device__ static __forceinline__ const uint8_t* RowFrom(const uint8_t* from, int row, int bricks) {
    const uint32_t row_bytes = static_cast<uint32_t>(bricks) * C::kTokenBrickBytes;
    return from + static_cast<uint64_t>(row_bytes) * static_cast<uint32_t>(row);
  }
};

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_COPY_H_

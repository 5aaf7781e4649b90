#include "kernels/cuda/find_expert.h"
#include "kernels/cuda/grouped_bf16.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kThreads = 128;
constexpr int kRows = 64, kTokens = kBf16TokenTile;
constexpr int kStages = 3;
constexpr int kStageColumns = 64, kChunks = kStageColumns / 8;  // of 16 bytes, in a row of a stage
constexpr int kStageElements = (kRows + kTokens) * kStageColumns;
constexpr int kSharedBytes = kStages * kStageElements * 2;
constexpr int kRowCopies = kRows * kChunks / kThreads, kTokenCopies = kTokens * kChunks / kThreads;
constexpr int kBlocks = 4;  // of a multiprocessor

__device__ inline int Swizzled(int row, int chunk) { return row * kStageColumns + (chunk ^ (row & 7)) * 8; }

// This thread's copies of a tile: kChunks threads share a row, so a thread's rows are kThreads / kChunks apart.
struct Copies {
  const uint16_t* rows[kRowCopies];
  const uint16_t* tokens[kTokenCopies];
  bool token_there[kTokenCopies];
};

__device__ inline void CopyStage(const Copies& copies, int64_t column, uint16_t* stage) {
  const int row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
#pragma unroll
  for (int i = 0; i < kRowCopies; ++i) {
    ptx::CopyAsync16(stage + Swizzled(row + i * (kThreads / kChunks), chunk), copies.rows[i] + column);
  }
#pragma unroll
  for (int i = 0; i < kTokenCopies; ++i) {
    ptx::CopyAsync16(stage + kRows * kStageColumns + Swizzled(row + i * (kThreads / kChunks), chunk),
                     copies.tokens[i] + (copies.token_there[i] ? column : 0), copies.token_there[i]);
  }
}

__global__ void __launch_bounds__(kThreads) GroupedBf16Kernel(GroupedBf16Arguments a, int64_t padded) {
  EAQ_SHARED(uint16_t, ring, kStages * kStageElements);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row_tiles = static_cast<int>((a.rows + kRows - 1) / kRows);
  const int stages = static_cast<int>(padded / kStageColumns);
  const int64_t tiles = static_cast<int64_t>(a.tile_offsets[a.expert_count]) * row_tiles;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int slot_tile = static_cast<int>(tile / row_tiles), first_row = static_cast<int>(tile % row_tiles) * kRows;
    const ExpertTiles found = FindExpert(a.tile_offsets, static_cast<int>(a.expert_count), 1, slot_tile);
    const int expert = found.expert;
    const int64_t first_slot = a.offsets[expert] + int64_t{slot_tile - found.first} * kTokens;
    const int64_t left = a.offsets[expert + 1] - first_slot;
    const int tokens = static_cast<int>(left < kTokens ? left : kTokens);

    Copies copies;
    const int own = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {  // rows beyond the matrix repeat its last
      const int64_t row = first_row + own + i * (kThreads / kChunks);
      copies.rows[i] = a.experts[expert] + (row < a.rows ? row : a.rows - 1) * padded + chunk * 8;
    }
#pragma unroll
    for (int i = 0; i < kTokenCopies; ++i) {
      const int token = own + i * (kThreads / kChunks);
      copies.token_there[i] = token < tokens;
      int64_t row = 0;
      if (token < tokens) {
        row = a.x_rows == nullptr ? first_slot + token : a.x_rows[first_slot + token] / a.x_row_divisor;
      }
      copies.tokens[i] = a.x + row * padded + (token < tokens ? chunk * 8 : 0);
    }

    float sums[kTokens / 8][4] = {};
    __syncthreads();  // the tile before is done with the ring
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
      if (s < stages) CopyStage(copies, int64_t{s} * kStageColumns, ring + s * kStageElements);
      ptx::CommitCopies();
    }
    for (int s = 0; s < stages; ++s) {
      ptx::WaitCopies<kStages - 2>();
      __syncthreads();  // stage s is there, and all are done with the one that is filled next
      if (s + kStages - 1 < stages) {
        CopyStage(copies, int64_t{s + kStages - 1} * kStageColumns,
                  ring + (s + kStages - 1) % kStages * kStageElements);
      }
      ptx::CommitCopies();
      const uint16_t* const weights = ring + s % kStages * kStageElements;
      const uint16_t* const x = weights + kRows * kStageColumns;
#pragma unroll
      for (int k = 0; k < kChunks; k += 2) {  // 16 columns
        uint32_t fragment[4];
        ptx::LoadMatrix4(fragment, weights + Swizzled(warp * 16 + lane % 16, k + lane / 16));
#pragma unroll
        for (int t = 0; t < kTokens / 16; ++t) {
          uint32_t b[4];
          ptx::LoadMatrix4(b, x + Swizzled(t * 16 + lane / 16 * 8 + lane % 8, k + lane / 8 % 2));
          const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
          ptx::MmaBf16(sums[2 * t], fragment, low);
          ptx::MmaBf16(sums[2 * t + 1], fragment, high);
        }
      }
    }
    ptx::WaitCopies<0>();

    // Lane 4 g + t holds outputs g and g + 8 of tokens 2 t and 2 t + 1.
#pragma unroll
    for (int t = 0; t < kTokens / 8; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = t * 8 + lane % 4 * 2 + i % 2;
        const int64_t row = first_row + warp * 16 + lane / 4 + i / 2 * 8;
        if (token >= tokens || row >= a.rows) continue;
        const int64_t slot = first_slot + token;
        float value = sums[t][i];
        if (a.pair_weights != nullptr) value *= a.pair_weights[a.pair_of_slot[slot]];
        a.y[slot * a.ldy + row] = value;
      }
    }
  }
}

}  // namespace

int GroupedBf16(const GroupedBf16Arguments& a, void* stream) {
  constexpr int64_t kMost = int64_t{1} << 30;
  if (a.slots == 0) return 0;
  if (a.expert_count < 1 || a.expert_count >= kMost || a.rows < 1 || a.rows >= kMost || a.cols < 1 || a.cols >= kMost ||
      a.slots < 0 || a.slots >= kMost || a.ldy < a.rows || a.x_row_divisor < 1 || a.machine.multiprocessors < 1 ||
      reinterpret_cast<uintptr_t>(a.x) % 16 != 0 || (a.pair_weights != nullptr && a.pair_of_slot == nullptr)) {
    return kInvalidValue;
  }
  const int64_t slot_tiles = a.slots / kTokens + a.expert_count;
  const int64_t most = (slot_tiles < a.slots ? slot_tiles : a.slots) * ((a.rows + kRows - 1) / kRows);
  const int64_t blocks = PersistentGrid(most, kBlocks, kSharedBytes, a.machine);
  EAQ_LAUNCH(GroupedBf16Kernel, static_cast<unsigned>(blocks), kThreads, 0, stream, a, PaddedColumns(a.cols));
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda

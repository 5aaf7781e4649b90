#include "kernels/cuda/sort_tokens.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kRounds = 4;                                       // of 32 pairs a warp
constexpr int kChunk = kThreads * kRounds;                       // pairs of a block
constexpr int kExpertsPerThread = kMaxSortedExperts / kThreads;  // in the scan

struct Arguments {
  const int32_t* expert_of_pair;
  int64_t pairs;
  int experts;
  int id_bits;  // ids are below 2^id_bits
  int tile_rows;
  int32_t* counts;  // [chunks, experts]: pairs of the chunk; after the scan, of the chunks before it
  int64_t chunks;
  SortedTokens sorted;
};

// The lanes whose id equals this lane's; 0 for a lane without expert.
__device__ inline unsigned Peers(int id, bool has, int bits) {
  unsigned peers = __ballot_sync(kAll, has);
  for (int b = 0; b < bits; ++b) {
    const bool bit = (id >> b & 1) != 0;
    const unsigned set = __ballot_sync(kAll, has && bit);
    peers &= bit ? set : ~set;
  }
  return has ? peers : 0u;
}

// Round r of warp w in a chunk takes 32 pairs; the warps' ranges follow each other.
__device__ inline int64_t PairAt(int64_t chunk, int warp, int round, int lane) {
  return chunk * kChunk + (warp * kRounds + round) * 32 + lane;
}

__device__ inline int ExpertAt(const Arguments& a, int64_t pair, bool* has) {
  const int id = pair < a.pairs ? a.expert_of_pair[pair] : -1;
  *has = id >= 0 && id < a.experts;
  return id;
}

// table[w][e]: pairs of expert e in warp w's range. Ends with a barrier.
__device__ inline void CountChunk(const Arguments& a, int64_t chunk, int32_t* table) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int i = threadIdx.x; i < kWarps * a.experts; i += kThreads) table[i] = 0;
  __syncthreads();
  for (int round = 0; round < kRounds; ++round) {
    bool has;
    const int id = ExpertAt(a, PairAt(chunk, warp, round, lane), &has);
    const unsigned peers = Peers(id, has, a.id_bits);
    // The first of the peers speaks for them: no two lanes write one entry.
    if (has && __ffs(static_cast<int>(peers)) - 1 == lane) table[warp * a.experts + id] += __popc(peers);
    __syncwarp();
  }
  __syncthreads();
}

// starts[e] (shared) = slots before expert e, from totals[e] (shared; may be the same array); also writes the two
// offset arrays. Begins and ends with a barrier.
__device__ inline void ScanExperts(const Arguments& a, const int32_t* totals, int32_t* starts) {
  EAQ_SHARED(int32_t, warp_slots, kWarps);
  EAQ_SHARED(int32_t, warp_tiles, kWarps);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __syncthreads();
  int count[kExpertsPerThread];
  int slots = 0, tiles = 0;  // of this thread's experts
#pragma unroll
  for (int i = 0; i < kExpertsPerThread; ++i) {
    const int e = threadIdx.x * kExpertsPerThread + i;
    count[i] = e < a.experts ? totals[e] : 0;
    slots += count[i];
    tiles += (count[i] + a.tile_rows - 1) / a.tile_rows;
  }
  int slots_up_to = slots, tiles_up_to = tiles;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int s = __shfl_up_sync(kAll, slots_up_to, step), t = __shfl_up_sync(kAll, tiles_up_to, step);
    if (lane >= step) {
      slots_up_to += s;
      tiles_up_to += t;
    }
  }
  if (lane == 31) {
    warp_slots[warp] = slots_up_to;
    warp_tiles[warp] = tiles_up_to;
  }
  __syncthreads();
  int slot = slots_up_to - slots, tile = tiles_up_to - tiles;
  for (int w = 0; w < warp; ++w) {
    slot += warp_slots[w];
    tile += warp_tiles[w];
  }
#pragma unroll
  for (int i = 0; i < kExpertsPerThread; ++i) {
    const int e = threadIdx.x * kExpertsPerThread + i;
    if (e >= a.experts) break;
    starts[e] = slot;
    a.sorted.offsets[e] = slot;
    a.sorted.tile_offsets[e] = tile;
    slot += count[i];
    tile += (count[i] + a.tile_rows - 1) / a.tile_rows;
    if (e == a.experts - 1) {
      a.sorted.offsets[a.experts] = slot;
      a.sorted.tile_offsets[a.experts] = tile;
    }
  }
  __syncthreads();
}

// next[w][e]: the slot of warp w's first pair of expert e. Every warp moves its own row on.
__device__ inline void ScatterChunk(const Arguments& a, int64_t chunk, int32_t* next) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t pair = PairAt(chunk, warp, round, lane);
    bool has;
    const int id = ExpertAt(a, pair, &has);
    const unsigned peers = Peers(id, has, a.id_bits);
    int first = 0;
    if (has) first = next[warp * a.experts + id];
    __syncwarp();
    if (has && __ffs(static_cast<int>(peers)) - 1 == lane) next[warp * a.experts + id] = first + __popc(peers);
    __syncwarp();
    if (pair >= a.pairs) continue;
    const int slot = first + __popc(peers & ((1u << lane) - 1));
    a.sorted.slot_of_pair[pair] = has ? slot : -1;
    if (has) a.sorted.pair_of_slot[slot] = static_cast<int32_t>(pair);
  }
}

// table[w][e] from counts to first slots: starts[e] plus what the warps before w have. Begins and ends with a barrier.
__device__ inline void CountsToSlots(const Arguments& a, const int32_t* starts, int32_t* table) {
  __syncthreads();
  for (int e = threadIdx.x; e < a.experts; e += kThreads) {
    int slot = starts[e];
    for (int w = 0; w < kWarps; ++w) {
      const int count = table[w * a.experts + e];
      table[w * a.experts + e] = slot;
      slot += count;
    }
  }
  __syncthreads();
}

// Slots that no pair fills. `filled`: how many are.
__device__ inline void ClearRest(const Arguments& a, int64_t filled, int64_t first, int64_t step) {
  for (int64_t slot = first; slot < a.pairs; slot += step) {
    if (slot >= filled) a.sorted.pair_of_slot[slot] = -1;
  }
}

__global__ void __launch_bounds__(kThreads) CountKernel(Arguments a) {
  EAQ_DYNAMIC_SHARED(int32_t, table);  // [kWarps, experts]
  CountChunk(a, blockIdx.x, table);
  for (int e = threadIdx.x; e < a.experts; e += kThreads) {
    int sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += table[w * a.experts + e];
    a.counts[static_cast<int64_t>(blockIdx.x) * a.experts + e] = sum;
  }
}

__global__ void __launch_bounds__(kThreads) ScanKernel(Arguments a) {
  EAQ_DYNAMIC_SHARED(int32_t, totals);  // [experts]
  for (int e = threadIdx.x; e < a.experts; e += kThreads) {
    int sum = 0;
    for (int64_t chunk = 0; chunk < a.chunks; ++chunk) {
      int32_t* const count = a.counts + chunk * a.experts + e;
      const int here = *count;
      *count = sum;
      sum += here;
    }
    totals[e] = sum;
  }
  ScanExperts(a, totals, totals);
}

__global__ void __launch_bounds__(kThreads) ScatterKernel(Arguments a) {
  EAQ_DYNAMIC_SHARED(int32_t, table);  // [kWarps, experts], then starts [experts]
  int32_t* const starts = table + kWarps * a.experts;
  CountChunk(a, blockIdx.x, table);
  const int32_t* const before = a.counts + static_cast<int64_t>(blockIdx.x) * a.experts;
  for (int e = threadIdx.x; e < a.experts; e += kThreads) starts[e] = a.sorted.offsets[e] + before[e];
  CountsToSlots(a, starts, table);
  ScatterChunk(a, blockIdx.x, table);
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  ClearRest(a, a.sorted.offsets[a.experts], thread, static_cast<int64_t>(gridDim.x) * kThreads);
}

// All of it for one chunk.
__global__ void __launch_bounds__(kThreads) SortOneChunkKernel(Arguments a) {
  EAQ_DYNAMIC_SHARED(int32_t, table);
  int32_t* const starts = table + kWarps * a.experts;
  CountChunk(a, 0, table);
  for (int e = threadIdx.x; e < a.experts; e += kThreads) {
    int sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += table[w * a.experts + e];
    starts[e] = sum;
  }
  ScanExperts(a, starts, starts);
  CountsToSlots(a, starts, table);
  ScatterChunk(a, 0, table);
  ClearRest(a, a.sorted.offsets[a.experts], threadIdx.x, kThreads);
}

int64_t Chunks(int64_t pairs) { return (pairs + kChunk - 1) / kChunk; }

}  // namespace

int64_t SortTokensWorkspace(int64_t pairs, int64_t experts) { return pairs <= kChunk ? 0 : Chunks(pairs) * experts; }

int SortTokens(const int32_t* expert_of_pair, int64_t pairs, int64_t experts, int64_t tile_rows, int32_t* workspace,
               const SortedTokens& sorted, void* stream) {
  if (pairs < 0 || pairs >= (int64_t{1} << 30) || experts < 1 || experts > kMaxSortedExperts || tile_rows < 1) {
    return kInvalidValue;
  }
  int id_bits = 0;
  while ((int64_t{1} << id_bits) < experts) ++id_bits;
  const int count = static_cast<int>(experts);
  const Arguments a{expert_of_pair, pairs,         count, id_bits, static_cast<int>(tile_rows),
                    workspace,      Chunks(pairs), sorted};
  const int table_bytes = (kWarps + 1) * count * static_cast<int>(sizeof(int32_t));
  if (pairs <= kChunk) {
    EAQ_LAUNCH(SortOneChunkKernel, 1, kThreads, table_bytes, stream, a);
    return EAQ_LAUNCH_ERROR();
  }
  const unsigned chunks = static_cast<unsigned>(a.chunks);
  EAQ_LAUNCH(CountKernel, chunks, kThreads, table_bytes, stream, a);
  EAQ_LAUNCH(ScanKernel, 1, kThreads, table_bytes, stream, a);
  EAQ_LAUNCH(ScatterKernel, chunks, kThreads, table_bytes, stream, a);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda

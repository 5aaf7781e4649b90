#include <cstdint>

#include "kernels/cuda/grouped_wgmma.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/ptx_hopper.h"
#include "kernels/emulation/cuda_emulation.h"

#if !defined(__CUDACC__)
#include "kernels/emulation/options.h"
#endif

namespace eaq::kernels::cuda {
namespace {

constexpr int kConsumers = 2, kWarps = 4;  // warpgroups; warps of one
constexpr int kRowBlocks = 2, kSteps = 4;  // products of 64 outputs of a consumer; of 32 columns of a stage
constexpr int kBrickBytes = 2048;          // 16 outputs x 128 columns
constexpr int kBricks = kWgmmaRows / 16;   // of a stage
constexpr int kLag = 1;  // stages between the start of a copy of tokens and the wait for it (on an H100 2: 5 % slower)
constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;  // 168 x 3 = 56 + 2 x 224
static_assert(kLag < kWgmmaStages, "a consumer that waits for the stages in between would never empty one");

// What a block does of an item.
struct Tile {
  int expert, first_row, first_slot, slots;
  int width;  // slots of the product
};

// The launch's items: items[e] of them before expert e.
struct Items {
  const int* before;
  int experts, row_tiles, count;

  template <int kCluster>
  __device__ __forceinline__ Tile Find(const GroupedGemmArguments& a, int item) const {
    int low = 0, high = experts;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (before[middle] <= item) {
        low = middle;
      } else {
        high = middle;
      }
    }
    const int first = a.offsets[low], slots = a.offsets[low + 1] - first;
    const WgmmaShape shape = WgmmaShapeOf(slots, kCluster);
    const int local = item - before[low];
    const int block = local % shape.parts * kCluster + static_cast<int>(blockIdx.x) % kCluster;
    const int left = slots - block * shape.share;
    Tile tile;
    tile.expert = low;
    tile.first_row = local / shape.parts * kWgmmaRows;
    tile.first_slot = first + block * shape.share;
    tile.slots = left <= 0 ? 0 : left < shape.share ? left : shape.share;
    tile.width = WgmmaWidth(shape.share);
    return tile;
  }
};

// The first warp sums up.
template <int kCluster>
__device__ __forceinline__ void CountItems(const GroupedGemmArguments& a, int row_tiles, int* before) {
  const int lane = static_cast<int>(threadIdx.x);
  int total = 0;
  if (lane == 0) before[0] = 0;
  for (int first = 0; first < a.expert_count; first += 32) {
    const int e = first + lane;
    int sum = 0;
    if (e < a.expert_count) sum = WgmmaShapeOf(a.offsets[e + 1] - a.offsets[e], kCluster).parts * row_tiles;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int lower = __shfl_up_sync(0xffffffffu, sum, distance);
      if (lane >= distance) sum += lower;
    }
    if (e < a.expert_count) before[e + 1] = total + sum;
    total += __shfl_sync(0xffffffffu, sum, 31);
  }
}

// A place in the ring and the parity of its turn.
struct Place {
  int stage = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void Next() {
    if (++stage == kWgmmaStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

struct Ring {
  uint8_t* stages;
  uint64_t* full;
  uint64_t* empty;
  __device__ __forceinline__ uint8_t* weights(int stage) const { return stages + stage * kWgmmaStageBytes; }
  __device__ __forceinline__ uint8_t* tokens(int stage) const { return weights(stage) + kWgmmaWeightBytes; }
};

__device__ __forceinline__ void WaitFor(uint64_t* barrier, uint32_t parity) {
  while (!ptx::TryWait(barrier, parity)) {
  }
}

// ---- the producer's 128 threads

template <int kCluster>
__device__ __forceinline__ void Produce(const GroupedGemmArguments& a, const Items& items, const Ring& ring, int bricks,
                                        int row_bricks, int* tables) {
  constexpr int kCopies = kWgmmaSlots / 16;  // of a thread and stage: chunk t % 8 of slots t / 8, t / 8 + 16, ...
  constexpr int kOwnBricks = kBricks / kCluster;
  const int thread = static_cast<int>(threadIdx.x), rank = static_cast<int>(blockIdx.x) % kCluster;
  const int chunk = thread % 8, first_token = thread / 8;
  // Rows r and r + 16 are swizzled alike.
  const int place_in_stage = first_token * 128 + (chunk ^ (first_token & 7)) * 16;
  const auto row_bytes = static_cast<uint32_t>(bricks) * 128;
  Place place;
  int started = 0, turn = 0;               // stages; tiles, modulo 2
  const auto hand_over = [&](int stage) {  // of a stage whose copies this thread has waited for
    ptx::FenceProxyAsync();
    ptx::Arrive(&ring.full[stage]);
  };
  for (int item = static_cast<int>(blockIdx.x) / kCluster; item < items.count;
       item += static_cast<int>(gridDim.x) / kCluster) {
    const Tile tile = items.Find<kCluster>(a, item);
    // Rows of x, each looked up once; two tables by turns, so that nobody writes what others still read.
    int* const table = tables + turn * kWgmmaSlots;
    turn ^= 1;
    for (int token = thread; token < tile.slots; token += 128) {
      const int slot = tile.first_slot + token;
      table[token] = a.x_rows != nullptr ? a.x_rows[slot] / a.x_row_divisor : slot;
    }
    ptx::Barrier<3>(128);
    uint32_t rows[kCopies];
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      rows[i] = first_token + i * 16 < tile.slots ? static_cast<uint32_t>(table[first_token + i * 16]) : 0;
    }
    // This thread's brick of weights, of the first kOwnBricks threads.
    int row_brick = tile.first_row / 16 + rank * kOwnBricks + thread;
    row_brick = row_brick < row_bricks ? row_brick : row_bricks - 1;  // outputs beyond the matrix repeat its last brick
    const uint8_t* weights = thread < kOwnBricks
                                 ? a.experts[tile.expert].codes + static_cast<int64_t>(row_brick) * bricks * kBrickBytes
                                 : nullptr;
    const uint8_t* x = static_cast<const uint8_t*>(a.x) + chunk * 16;
    for (int brick = 0; brick < bricks; ++brick) {
      // The ring's first turn finds every stage empty: the phase before the first, of parity 1, is over.
      WaitFor(&ring.empty[place.stage], place.parity ^ 1);
      if (thread == 0) ptx::ArriveExpect(&ring.full[place.stage], kWgmmaWeightBytes);
      if (thread < kOwnBricks) {
        uint8_t* const to = ring.weights(place.stage) + (rank * kOwnBricks + thread) * kBrickBytes;
        if constexpr (kCluster == 1) {
          ptx::CopyBulk(to, weights, kBrickBytes, &ring.full[place.stage]);
        } else {
          ptx::CopyBulkToBlocks(to, weights, kBrickBytes, &ring.full[place.stage], (1 << kCluster) - 1);
        }
        weights += kBrickBytes;
      }
      uint8_t* const to = ring.tokens(place.stage) + place_in_stage;
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (first_token + i * 16 < tile.slots) {
          ptx::CopyAsync16(to + i * 16 * 128, x + static_cast<uint64_t>(row_bytes) * rows[i]);
        }
      }
      ptx::CommitCopies();
      x += 128;
      if (started >= kLag) {
        ptx::WaitCopies<kLag>();
        hand_over((place.stage + kWgmmaStages - kLag) % kWgmmaStages);
      }
      ++started;
      place.Next();
    }
  }
  ptx::WaitCopies<0>();
#pragma unroll
  for (int i = kLag; i >= 1; --i) {
    if (started >= i) hand_over((place.stage + kWgmmaStages - i) % kWgmmaStages);
  }
}

// ---- a consumer's 128 threads

// What the epilogue wants of a slot.
struct alignas(16) Fact {
  float scale, factor;
  int zero, sum;
};
static_assert(sizeof(Fact) == kWgmmaFactBytes, "grouped_wgmma_tiles.h");

template <int kWidth>
__device__ __forceinline__ void Multiply64(int32_t (&sums)[ptx::kWgmmaSums], const uint32_t (&a)[4], uint64_t tokens,
                                           bool add) {
  if constexpr (kWidth == 64) {
    ptx::WgmmaS8N64(sums, a, tokens, add);
  } else if constexpr (kWidth == 96) {
    ptx::WgmmaS8N96(sums, a, tokens, add);
  } else if constexpr (kWidth == 112) {
    ptx::WgmmaS8N112(sums, a, tokens, add);
  } else if constexpr (kWidth == 128) {
    ptx::WgmmaS8N128(sums, a, tokens, add);
  } else {
    static_assert(kWidth == 144, "WgmmaWidth");
    ptx::WgmmaS8N144(sums, a, tokens, add);
  }
}

using Sums = int32_t[kRowBlocks][ptx::kWgmmaSums];

// One arrival of this warp at the stage's barrier of every block whose copies fill it here: all of the cluster.
template <int kCluster>
__device__ __forceinline__ void Release(const Ring& ring, int stage) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  __syncwarp();
  if constexpr (kCluster == 1) {
    if (lane == 0) ptx::Arrive(&ring.empty[stage]);
  } else {
    if (lane < kCluster) ptx::ArriveAt(&ring.empty[stage], lane);
  }
}

// A lane's place in its consumer's 128 outputs, and its slots: slot, slot + 1, slot + 8, ....
struct Lane {
  int lane, brick, slot;
  __device__ __forceinline__ explicit Lane(int consumer) {
    // Pinned: what is worked out of the thread's number would be kept in registers from tile to tile.
    int thread = static_cast<int>(threadIdx.x);
    ptx::Pin(thread);
    lane = thread % 32;
    brick = consumer * kRowBlocks * kWarps + thread / 32 % kWarps;
    slot = lane % 4 * 2;
  }
  // Of row block m: the first of its warp's 16, and of its own two, 8 apart.
  __device__ __forceinline__ int first_row(int m) const { return (brick + m * kWarps) * 16; }
  __device__ __forceinline__ int row(int m) const { return first_row(m) + lane / 4; }
};

// All columns of a tile. consumer: 0 or 1.
template <int kCluster, int kWidth>
__device__ __forceinline__ void Multiply(const Ring& ring, int consumer, int bricks, Place& place, Sums& sums) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % kWarps;
  // Row block m of the consumer: bricks 8 consumer + 4 m + warp.
  const int own = (consumer * kRowBlocks * kWarps + warp) * kBrickBytes + lane * 16;
  // By turns: one is loaded while the products of the other are on their way. ptxas keeps products apart (C7513) where
  // a batch's registers are loaded at the start of its own turn of the loop: hence at the end of the turn before.
  uint32_t a[2][kRowBlocks][4];
  const auto load = [&](int step) {
    const uint8_t* const from = ring.weights(place.stage) + own + step % kSteps * 512;
#pragma unroll
    for (int m = 0; m < kRowBlocks; ++m) {
      const uint4 words = ptx::LoadShared(reinterpret_cast<const uint4*>(from + m * kWarps * kBrickBytes));
      a[step % 2][m][0] = words.x;
      a[step % 2][m][1] = words.y;
      a[step % 2][m][2] = words.z;
      a[step % 2][m][3] = words.w;
    }
  };
  int last = 0;
  WaitFor(&ring.full[place.stage], place.parity);
  load(0);
  for (int brick = 0; brick < bricks; ++brick) {
    const uint64_t tokens = ptx::SwizzledRows(ring.tokens(place.stage));
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      ptx::WgmmaFence();
#pragma unroll
      for (int m = 0; m < kRowBlocks; ++m) {
        // 32 bytes further on in each row: 2 in the descriptor's units.
        Multiply64<kWidth>(sums[m], a[step % 2][m], tokens + step * 2, brick > 0 || step > 0);
      }
      ptx::WgmmaCommit();
      ptx::WgmmaWait<1>();
      if (step == 0 && brick > 0) Release<kCluster>(ring, last);  // its last products are over
      if (step == kSteps - 1) {
        last = place.stage;
        place.Next();
        if (brick + 1 == bricks) break;
        WaitFor(&ring.full[place.stage], place.parity);
      }
      load(step + 1);
    }
  }
  ptx::WgmmaWait<0>();
#pragma unroll
  for (int m = 0; m < kRowBlocks; ++m) {
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) ptx::Pin(sums[m][i]);
  }
  Release<kCluster>(ring, last);
}

// What zero points take off the sums.
template <int kWidth>
__device__ __forceinline__ void TakeOffZeros(const GroupedGemmArguments& a, const ExpertMatrix& expert,
                                             const Tile& tile, int consumer, int padded_rows, const Fact* facts,
                                             Sums& sums) {
  const Lane at(consumer);
  int column_sum[kRowBlocks][2], zero[kRowBlocks][2];
#pragma unroll
  for (int m = 0; m < kRowBlocks; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = tile.first_row + at.row(m) + 8 * h;
      const bool exists = row < padded_rows;
      column_sum[m][h] = exists && a.x_zeros != nullptr ? static_cast<int>(expert.column_sums[row]) : 0;
      zero[m][h] = exists && expert.zeros != nullptr ? expert.zeros[row] - 128 : 0;
    }
  }
#pragma unroll
  for (int n = 0; n < kWidth / 8; ++n) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int x_zero = facts[at.slot + n * 8 + c].zero, x_sum = facts[at.slot + n * 8 + c].sum;
#pragma unroll
      for (int m = 0; m < kRowBlocks; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          sums[m][n * 4 + 2 * h + c] -= zero[m][h] * x_sum + x_zero * column_sum[m][h];
        }
      }
    }
    ptx::Pin(sums[0][n * 4]);  // facts further on are not loaded before: they would take the registers of the sums
  }
}

// Results = sums by scales -> memory, as StoreTile of grouped_gemm_kernel.h: the same operations in the same order. The
// tensor cores wait meanwhile: four results are worked out side by side, and no branch stands between them.
template <int kWidth, bool kSwiGlu>
__device__ __forceinline__ void Store(const GroupedGemmArguments& a, const ExpertMatrix& expert, const Tile& tile,
                                      int consumer, int padded_rows, const Fact* facts, const Sums& sums) {
  // Of a slot and row block; so many row blocks at once.
  constexpr int kResults = kSwiGlu ? 1 : 2, kTogether = kSwiGlu ? kRowBlocks : 1;
#pragma unroll
  for (int first = 0; first < kRowBlocks; first += kTogether) {
    const Lane at(consumer);
    float scale[kTogether][2];
    // Where a result goes for the lane's first slot, and up to which slot it is wanted.
    float* to[kTogether][kResults];
    int left[kTogether][kResults];
#pragma unroll
    for (int m = 0; m < kTogether; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = tile.first_row + at.row(first + m) + 8 * h;
        scale[m][h] = row < padded_rows ? ToFloat(Half{expert.scales[row]}) : 1.0f;
      }
#pragma unroll
      for (int r = 0; r < kResults; ++r) {
        int column = (tile.first_row + at.first_row(first + m)) / (kSwiGlu ? 2 : 1) + at.lane / 4 + 8 * r;
        left[m][r] = tile.slots - at.slot;
        if (column >= a.outputs) {
          left[m][r] = 0;
        } else if (expert.outputs != nullptr) {
          column = expert.outputs[column];
          if (column < 0) left[m][r] = 0;
        }
        to[m][r] = a.y + (tile.first_slot + at.slot) * a.ldy + column;
      }
    }
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
      if (n * 8 >= tile.slots) break;
      float result[kTogether][2][kResults];
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const float x_scale = facts[at.slot + n * 8 + c].scale, factor = facts[at.slot + n * 8 + c].factor;
#pragma unroll
        for (int m = 0; m < kTogether; ++m) {
          float value[2];
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            value[h] = x_scale * scale[m][h] * static_cast<float>(sums[first + m][n * 4 + 2 * h + c]);
          }
          if constexpr (kSwiGlu) value[0] = __fdividef(value[0], 1.0f + expf(-value[0])) * value[1];
#pragma unroll
          for (int r = 0; r < kResults; ++r) result[m][c][r] = value[r] * factor;
        }
      }
#pragma unroll
      for (int m = 0; m < kTogether; ++m) {
#pragma unroll
        for (int r = 0; r < kResults; ++r) {
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            if (n * 8 + c < left[m][r]) to[m][r][c * a.ldy] = result[m][c][r];
          }
          to[m][r] += 8 * a.ldy;
        }
      }
    }
  }
}

template <int kValue>
struct Width {
  static constexpr int value = kValue;
};

template <int kCluster, bool kSwiGlu>
__device__ __forceinline__ void Consume(const GroupedGemmArguments& a, const Items& items, const Ring& ring, int bricks,
                                        int padded_rows, Fact* all_facts) {
  const int consumer = static_cast<int>(threadIdx.x) / 128 - 1, thread = static_cast<int>(threadIdx.x) % 128;
  Fact* const facts = all_facts + consumer * kWgmmaSlots;
  const int64_t sums_of_row = int64_t{bricks} * a.x_sums_of_brick;
  Place place;
  for (int item = static_cast<int>(blockIdx.x) / kCluster; item < items.count;
       item += static_cast<int>(gridDim.x) / kCluster) {
    const Tile tile = items.Find<kCluster>(a, item);
    const ExpertMatrix& expert = a.experts[tile.expert];
    // Not unrolled: registers.
#pragma unroll 1
    for (int token = thread; token < tile.slots; token += 128) {
      const int slot = tile.first_slot + token;
      const int64_t row = a.x_rows != nullptr ? a.x_rows[slot] / a.x_row_divisor : slot;
      facts[token] = {a.x_scales[row], a.pair_weights != nullptr ? a.pair_weights[a.pair_of_slot[slot]] : 1.0f,
                      a.x_zeros != nullptr ? a.x_zeros[row] : 0,
                      expert.zeros != nullptr ? a.x_sums[row * (sums_of_row + 1) + sums_of_row] : 0};
    }
    if (consumer == 0) {
      ptx::Barrier<1>(128);
    } else {
      ptx::Barrier<2>(128);
    }
    const auto run = [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      Sums sums;
      Multiply<kCluster, kWidth>(ring, consumer, bricks, place, sums);
      if (expert.zeros != nullptr || a.x_zeros != nullptr) {
        TakeOffZeros<kWidth>(a, expert, tile, consumer, padded_rows, facts, sums);
      }
      Store<kWidth, kSwiGlu>(a, expert, tile, consumer, padded_rows, facts, sums);
    };
    switch (tile.width) {
      case 64:
        run(Width<64>());
        break;
      case 96:
        run(Width<96>());
        break;
      case 112:
        run(Width<112>());
        break;
      case 128:
        run(Width<128>());
        break;
      default:
        run(Width<144>());
        break;
    }
    if (consumer == 0) {  // before the facts are those of the next tile
      ptx::Barrier<1>(128);
    } else {
      ptx::Barrier<2>(128);
    }
  }
}

template <int kCluster, bool kSwiGlu>
__global__ void __launch_bounds__(kWgmmaThreads, 1) __cluster_dims__(kCluster, 1, 1)
    GroupedWgmmaKernel(const __grid_constant__ GroupedGemmArguments a) {
  EAQ_DYNAMIC_SHARED(uint8_t, unaligned);
  // wgmma's swizzle goes by address: stages start at multiples of 1024.
  uint8_t* const shared = unaligned + (1024 - (reinterpret_cast<uintptr_t>(unaligned) & 1023));
  uint64_t* const barriers = reinterpret_cast<uint64_t*>(shared + kWgmmaBarriersAt);
  const Ring ring = {shared, barriers, barriers + kWgmmaStages};
  Fact* const facts = reinterpret_cast<Fact*>(shared + kWgmmaFactsAt);
  int* const tables = reinterpret_cast<int*>(shared + kWgmmaTablesAt);
  int* const before = reinterpret_cast<int*>(shared + kWgmmaItemsAt);
  const int bricks = static_cast<int>((a.cols + 127) / 128), padded_rows = static_cast<int>((a.rows + 15) / 16) * 16;
  const int row_tiles = (padded_rows + kWgmmaRows - 1) / kWgmmaRows;

  if (threadIdx.x < 32) CountItems<kCluster>(a, row_tiles, before);
  if (threadIdx.x == 32) {
    for (int i = 0; i < kWgmmaStages; ++i) {
      ptx::InitBarrier(&ring.full[i], 128 + 1);
      ptx::InitBarrier(&ring.empty[i], kCluster * kConsumers * kWarps);
    }
    ptx::FenceBarrierInit();
  }
  if constexpr (kCluster == 1) {
    __syncthreads();
  } else {
    ptx::ClusterSync();
  }
  const int experts = static_cast<int>(a.expert_count);
  const Items items = {before, experts, row_tiles, before[experts]};
  if (threadIdx.x < 128) {
    ptx::RegistersDown<kProducerRegisters>();
    Produce<kCluster>(a, items, ring, bricks, padded_rows / 16, tables);
  } else {
    ptx::RegistersUp<kConsumerRegisters>();
    Consume<kCluster, kSwiGlu>(a, items, ring, bricks, padded_rows, facts);
  }
  // Others of the cluster may still send arrivals here: stay until all are done.
  if constexpr (kCluster > 1) ptx::ClusterSync();
}

template <int kCluster, bool kSwiGlu>
int Launch(const GroupedGemmArguments& a, void* stream) {
  const auto shared_bytes = static_cast<size_t>(WgmmaSharedBytes(a.expert_count));
  const int64_t at_once =
      EAQ_CLUSTERS_AT_ONCE((GroupedWgmmaKernel<kCluster, kSwiGlu>), kCluster, kWgmmaThreads,
                           static_cast<size_t>(WgmmaSharedBytes(kWgmmaMostExperts)), a.machine.multiprocessors);
  if (at_once <= 0) return 1;
  const int64_t most = WgmmaMostItems(a.rows, a.slots, a.expert_count, kCluster);
  const int64_t clusters = at_once < most ? at_once : most;
  EAQ_LAUNCH_CLUSTERS((GroupedWgmmaKernel<kCluster, kSwiGlu>), kCluster, clusters * kCluster, kWgmmaThreads,
                      shared_bytes, stream, a);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace

bool HasWgmma() {
#if defined(__CUDACC__)
  int device = 0, major = 0, minor = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess && major == 9 &&
         minor == 0;
#else
  return emulation::CurrentOptions().architecture == 90;
#endif
}

bool PrefersWgmma(const GroupedGemmArguments& a) {
  return a.group == 0 && a.y != nullptr && a.expert_count <= kWgmmaMostExperts &&
         a.slots >= a.expert_count * kWgmmaLeastSlots && HasWgmma();
}

int GroupedWgmma(const GroupedGemmArguments& a, void* stream) {
  return GroupedWgmmaOfClusters(a, WgmmaCluster(a.slots, a.expert_count), stream);
}

int GroupedWgmmaOfClusters(const GroupedGemmArguments& a, int cluster, void* stream) {
  if (a.slots == 0) return 0;
  if (a.group != 0 || a.expert_count > kWgmmaMostExperts || a.x_scales == nullptr || a.y == nullptr || !HasWgmma() ||
      WgmmaMostItems(a.rows, a.slots, a.expert_count, 1) >= int64_t{1} << 31) {
    return 1;
  }
  switch (cluster) {
    case 1:
      return a.swiglu ? Launch<1, true>(a, stream) : Launch<1, false>(a, stream);
    case 2:
      return a.swiglu ? Launch<2, true>(a, stream) : Launch<2, false>(a, stream);
    case 4:
      return a.swiglu ? Launch<4, true>(a, stream) : Launch<4, false>(a, stream);
    default:
      return 1;
  }
}

}  // namespace eaq::kernels::cuda

#include "kernels/roofline/work.h"

#include <algorithm>
#include <set>

#include "kernels/architecture.h"
#include "kernels/cuda/quantize_rows.h"

namespace eaq::kernels::roofline {
namespace {

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// splitmix64 (Steele, Lea & Flood, 2014).
struct Stream {
  uint64_t state;
  uint64_t Next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
};

int Log2(int64_t n) {
  int steps = 0;
  while (int64_t{1} << steps < n) ++steps;
  return steps;
}

}  // namespace

std::vector<int> UniformLoads(int64_t tokens, int64_t experts, int64_t k) {
  Stream stream{20261126};
  std::vector<int> loads(experts, 0);
  for (int64_t t = 0; t < tokens; ++t) {
    std::set<uint64_t> mine;
    while (static_cast<int64_t>(mine.size()) < k) mine.insert(stream.Next() % static_cast<uint64_t>(experts));
    for (const uint64_t e : mine) ++loads[e];
  }
  return loads;
}

cuda::GemmTileShape TileOf(const GemmProblem& p) {
  int64_t slots = 0;
  for (const int load : p.loads) slots += load;
  return cuda::ChooseTile(p.kind, p.token_tile,
                          cuda::ManyTiles(slots, static_cast<int64_t>(p.loads.size()), p.rows, p.multiprocessors));
}

cuda::Machine MachineOf(const GemmProblem& p) {
  return {p.multiprocessors, FindArchitecture(p.architecture)->shared_bytes};
}

Work GroupedGemmWork(const GemmProblem& p) {
  const cuda::GemmKind kind = p.kind;
  const cuda::GemmTileShape tile = TileOf(p);
  const cuda::GemmStage stage = cuda::StageOf(kind, tile);
  const auto experts = static_cast<int64_t>(p.loads.size());
  const int64_t padded_rows = CeilDiv(p.rows, 16) * 16, padded_cols = cuda::PaddedColumns(p.cols);
  const int64_t bricks = padded_cols / 128, steps = CeilDiv(bricks, tile.bricks);
  const int64_t row_tiles = cuda::RowTiles(tile, p.rows), warps = tile.threads() / 32;
  const bool integer = kind.activation_bits != 16,
             folds_sums = kind.grouped() && integer && (p.weight_zeros || kind.paired());
  int64_t slots = 0, slot_tiles = 0, used = 0;
  for (const int load : p.loads) {
    slots += load;
    slot_tiles += CeilDiv(load, tile.tokens());
    used += load > 0;
  }

  Work w;
  if (slots == 0) return w;
  w.launches = 1;
  w.items = slot_tiles * row_tiles;
  w.threads = tile.threads();
  w.resident = tile.blocks;
  w.shared_bytes = cuda::SharedBytes(kind, tile);
  w.blocks =
      cuda::PersistentGrid(cuda::MostTiles(tile, p.rows, slots, experts), tile.blocks, w.shared_bytes, MachineOf(p));
  w.flight_bytes = (tile.stages - 1) * stage.bytes();

  // Bricks that a tile multiplies (a stage's second one may be zeros), and what a warp does for each.
  const int64_t multiplied = w.items * steps * tile.bricks;
  const int64_t warp_tiles = tile.row_tiles * tile.token_tiles * warps * multiplied;  // 16 x 8 x 128 each
  // Native int4 takes 64 columns at once, or twice a half of them where it has grids of its own.
  const bool native = kind.activation_bits == 4 && p.architecture < 90;
  const int64_t products = !integer ? 8 : native && kind.grids < 4 ? 2 : 4;
  (!integer ? w.mma_bf16 : native ? w.mma_s4 : w.mma_s8) = warp_tiles * products;
  // Four matrices at a time: two tiles of tokens, or two products of a single one.
  w.ldmatrix = multiplied * warps * tile.token_tiles * (kind.activation_bits / 2) / 2;
  w.ldmatrix_wavefronts = w.ldmatrix * 4;
  // A warp's words of a brick: 512 bytes each, 4 wavefronts; the plane of one bit 256 and 2. Six bits read theirs of
  // two bits for each half brick.
  const int64_t row_bricks = multiplied * warps * tile.row_tiles * 16 / kind.brick_rows();
  const int bits = kind.weight_bits;
  const int64_t quads = bits == 8 || bits == 6 || kind.paired() ? 4 : bits == 4 ? 2 : 1;
  const int64_t sums = kind.grouped() && integer ? multiplied * warps * tile.token_tiles * kind.grids : 0;
  w.shared_accesses = row_bricks * (quads + (bits == 3)) + sums;
  w.shared_wavefronts = row_bricks * (quads * 4 + (bits == 3) * 2) + sums * 2;

  const int64_t grids = kind.grouped() ? CeilDiv(p.cols * kind.grids, 128) : 1;  // of a row
  // Copies: weights (a tile's rows beyond the matrix repeat its last ones) and tokens of the columns that there are;
  // scales of the rows that there are.
  const int64_t tile_rows = slot_tiles * std::min(padded_rows, row_tiles * tile.rows());  // over all row tiles
  w.copied_bytes = w.items * bricks * ((stage.weights + stage.tokens) / tile.bricks);
  if (kind.grouped()) w.copied_bytes += grids * tile_rows * (p.weight_zeros ? 3 : 2);
  if (folds_sums) w.copied_bytes += w.items * bricks * kind.grids * tile.tokens() * 4;

  w.memory_bytes =
      static_cast<double>(used) * (padded_rows * (padded_cols * bits / 8.0 + grids * (p.weight_zeros ? 3 : 2))) +
      static_cast<double>(p.x_rows) * (padded_cols * kind.activation_bits / 8.0 + (integer ? 12 : 0)) +
      static_cast<double>(slots) * p.outputs * p.y_bytes;
  w.macs = static_cast<double>(slots) * p.rows * p.cols;
  // FindExpert, the expert's offsets, the row table (the first stage: Chip::latency); the expert again, scales or
  // pairs, factors of the results.
  w.dependent_loads = cuda::FindExpertLoads(experts) + 5;
  return w;
}

bool TakesWgmma(const GemmProblem& p) {
  int64_t slots = 0;
  for (const int load : p.loads) slots += load;
  const auto experts = static_cast<int64_t>(p.loads.size());
  return p.architecture == 90 && p.kind.weight_bits == 8 && p.kind.activation_bits == 8 && !p.kind.grouped() &&
         experts <= cuda::kWgmmaMostExperts && slots >= experts * cuda::kWgmmaLeastSlots;
}

Work GroupedWgmmaWork(const GemmProblem& p) {
  const auto experts = static_cast<int64_t>(p.loads.size());
  const int64_t padded_rows = CeilDiv(p.rows, 16) * 16, bricks = cuda::PaddedColumns(p.cols) / 128;
  const int64_t row_tiles = CeilDiv(padded_rows, cuda::kWgmmaRows);
  int64_t slots = 0, used = 0;
  for (const int load : p.loads) slots += load;
  Work w;
  if (slots == 0) return w;
  const int cluster = cuda::WgmmaCluster(slots, experts);
  w.cluster = cluster;
  // Of 64 outputs x 32 columns: 4 x 4 a brick in every block of a cluster, those without slots too.
  constexpr int64_t kProducts = cuda::kWgmmaRows / 64 * (128 / 32);
  for (const int load : p.loads) {
    const cuda::WgmmaShape shape = cuda::WgmmaShapeOf(load, cluster);
    const int64_t items = shape.parts * row_tiles, products = items * cluster * bricks * kProducts;
    w.items += items;
    w.wgmma += products;
    w.wgmma_columns += products * (load > 0 ? cuda::WgmmaWidth(shape.share) : 0);
    used += load > 0;
  }
  w.launches = 1;
  const int64_t at_once = std::max(1, p.multiprocessors / cluster);
  w.blocks = cluster * std::min(at_once, cuda::WgmmaMostItems(p.rows, slots, experts, cluster));
  w.threads = cuda::kWgmmaThreads;
  w.shared_bytes = cuda::WgmmaSharedBytes(experts);
  w.flight_bytes = (cuda::kWgmmaStages - 1) * (cuda::kWgmmaWeightBytes / cluster + cuda::kWgmmaTokenBytes);
  // A consumer warp's words of weights: 16 bytes a lane for each product.
  w.shared_accesses = w.wgmma * 4;
  w.shared_wavefronts = w.shared_accesses * 4;
  w.bulk_bytes = w.items * bricks * cuda::kWgmmaWeightBytes;
  w.bulk_landed_bytes = w.bulk_bytes * cluster;
  w.copied_bytes = slots * row_tiles * bricks * 128;
  w.memory_bytes = static_cast<double>(used) * padded_rows * (bricks * 128.0 + (p.weight_zeros ? 3 : 2)) +
                   static_cast<double>(p.x_rows) * (bricks * 128.0 + 12) +
                   static_cast<double>(slots) * p.outputs * p.y_bytes;
  w.macs = static_cast<double>(slots) * p.rows * p.cols;
  // The prefix sum of items, its search, offsets, the expert, the table of rows, the first stage; results.
  w.dependent_loads = Log2(experts) + 7;
  return w;
}

Work AttentionWork(const AttentionProblem& p) {
  constexpr int64_t kRows = 128, kKeys = 64;  // attention.cu
  Work w;
  w.launches = 1;
  const int64_t blocks = CeilDiv(p.queries, kRows), dim = p.head_dim;
  w.blocks = p.sequences * p.heads * blocks;
  int64_t tiles = 0, copied_rows = 0, pairs = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t rows = std::min(kRows, p.queries - b * kRows);
    const int64_t end = p.keys - p.queries + b * kRows + rows;
    tiles += CeilDiv(end, kKeys);
    copied_rows += rows + 2 * end;
    for (int64_t r = 0; r < rows; ++r) pairs += end - rows + r + 1;
  }
  const int64_t all = p.sequences * p.heads;
  // A warp of 32 rows and a tile: [32, dim] [dim, 64], then [32, 64] [64, dim].
  w.mma_bf16 = all * tiles * 4 * (2 * 32 * kKeys * dim / (16 * 8 * 16));
  w.ldmatrix = all * tiles * 4 * (dim / 16 * (2 + kKeys / 16) + kKeys / 16 * (dim / 16));
  w.ldmatrix_wavefronts = w.ldmatrix * 4;
  w.copied_bytes = all * copied_rows * dim * 2;
  w.memory_bytes = static_cast<double>(p.sequences) * dim *
                   (2.0 * p.queries * p.heads + 4.0 * p.keys * p.kv_heads + 1.0 * p.out_bytes * p.queries * p.heads);
  w.macs = 2.0 * static_cast<double>(all) * pairs * dim;
  w.threads = 128;
  w.resident = 2;
  w.shared_bytes = (kRows + 2 * kKeys) * dim * 2;
  w.flight_bytes = kKeys * dim * 2;
  w.dependent_loads = 3;
  return w;
}

Work AttentionDecodeWork(const AttentionProblem& p) {
  constexpr int64_t kSplit = 256, kThreads = 128, kAhead = 4, kStatistics = 2;  // attention_decode.cu
  const int64_t share = p.heads / p.kv_heads, group = share % 4 == 0 ? 4 : share % 2 == 0 ? 2 : 1;
  const int64_t splits = CeilDiv(p.keys, kSplit), lanes = p.head_dim / 8, ahead = kThreads / lanes * kAhead;
  Work w;
  w.launches = 2;
  const int64_t split_blocks = p.sequences * (p.heads / group) * splits;
  w.blocks = split_blocks + p.sequences * p.heads;
  // Every thread its part of `group` queries; keys and values of whole rounds.
  int64_t rounds = 0;
  for (int64_t s = 0; s < splits; ++s) rounds += CeilDiv(std::min(kSplit, p.keys - s * kSplit), ahead);
  w.global_accesses_16 =
      split_blocks * group * kThreads + p.sequences * (p.heads / group) * rounds * kThreads * kAhead * 2;
  const double cache = 4.0 * p.sequences * p.keys * p.kv_heads * p.head_dim;
  w.memory_bytes = cache + static_cast<double>(p.sequences) * p.heads * p.head_dim * (2 + p.out_bytes) +
                   8.0 * p.sequences * p.heads * splits * (p.head_dim + kStatistics);
  w.macs = 2.0 * p.sequences * p.heads * p.keys * p.head_dim;
  w.items = split_blocks;
  w.threads = kThreads;
  w.resident = group == 4 ? 4 : 6;
  w.flight_bytes = kThreads * kAhead * 2 * 16;
  w.dependent_loads = 4;
  return w;
}

Work HessianWork(int64_t tokens, int64_t columns) {
  constexpr int64_t kTile = 128, kTokens = 32, kSlice = 1024, kProducts = 6;  // hessian.cu
  const int64_t side = CeilDiv(columns, kTile), tiles = side * (side + 1) / 2, slices = CeilDiv(tokens, kSlice);
  Work w;
  w.launches = 2;
  const int64_t steps = CeilDiv(tokens, kTokens);
  w.mma_bf16 = tiles * steps * kProducts * kTile * kTile * kTokens / (16 * 8 * 16);
  w.items = tiles * slices;
  w.blocks = w.items + tiles * (kTile * kTile / 256);
  w.memory_bytes = 4.0 * tokens * columns + 8.0 * tiles * slices * kTile * kTile + 16.0 * tiles * kTile * kTile;
  w.macs = 0.5 * static_cast<double>(tokens) * columns * (columns + 1);
  w.threads = 256;
  w.shared_bytes = 2 * 2 * 3 * kTokens * kTile * 2;
  w.flight_bytes = 2 * kTokens * kTile * 4;
  w.dependent_loads = 2;
  return w;
}

Work StreamWork(double bytes, int64_t blocks) {
  Work w;
  w.launches = 1;
  w.blocks = w.items = blocks;
  w.memory_bytes = bytes;
  w.threads = 256;
  w.resident = 8;
  w.flight_bytes = 256 * 16;
  w.dependent_loads = 2;
  return w;
}

}  // namespace eaq::kernels::roofline

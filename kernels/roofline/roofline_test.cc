// The formulas of work.h against what the emulator counts when the kernels run, and the arithmetic of floor.h by hand.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/hessian.h"
#include "kernels/cuda/pack_weights.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/emulation/counters.h"
#include "kernels/emulation/options.h"
#include "kernels/roofline/floor.h"
#include "kernels/roofline/work.h"

namespace eaq::kernels::roofline {
namespace {

using cuda::GemmFormat;
using emulation::Counters;
using emulation::ReadCounters;
using emulation::ResetCounters;

// Zeros, 16-byte aligned.
template <typename T>
struct Zeros {
  explicit Zeros(int64_t count) : values(count + 16 / sizeof(T), T{}) {}
  T* data() {
    const uintptr_t address = reinterpret_cast<uintptr_t>(values.data());
    return values.data() + (16 - address % 16) % 16 / sizeof(T);
  }
  std::vector<T> values;
};

void ExpectCounted(const Work& w, const std::string& what) {
  const Counters c = ReadCounters();
  EXPECT_EQ(c.launches, w.launches) << what;
  EXPECT_EQ(c.blocks, w.blocks) << what;
  EXPECT_EQ(c.mma_bf16, w.mma_bf16) << what;
  EXPECT_EQ(c.mma_s8, w.mma_s8) << what;
  EXPECT_EQ(c.mma_s4, w.mma_s4) << what;
  EXPECT_EQ(c.wgmma, w.wgmma) << what;
  EXPECT_EQ(c.wgmma_columns, w.wgmma_columns) << what;
  EXPECT_EQ(c.copied_bytes, w.copied_bytes) << what;
  EXPECT_EQ(c.bulk_bytes, w.bulk_bytes) << what;
  EXPECT_EQ(c.bulk_landed_bytes, w.bulk_landed_bytes) << what;
  EXPECT_EQ(c.global_accesses_16, w.global_accesses_16) << what;
  EXPECT_EQ(c.BankConflicts(), 0u) << what;
}

void ExpectCountedInShared(const Work& w, const std::string& what) {
  const Counters c = ReadCounters();
  EXPECT_EQ(c.ldmatrix, w.ldmatrix) << what;
  EXPECT_EQ(c.ldmatrix_wavefronts, w.ldmatrix_wavefronts) << what;
  EXPECT_EQ(c.shared_accesses, w.shared_accesses) << what;
  EXPECT_EQ(c.shared_wavefronts, w.shared_wavefronts) << what;
}

struct Format {
  GemmFormat format;
  int weight_bits, activation_bits;
};
constexpr Format kFormats[] = {{GemmFormat::kW8A8, 8, 8},   {GemmFormat::kW4A8, 4, 8},   {GemmFormat::kW4A4, 4, 4},
                               {GemmFormat::kW6A16, 6, 16}, {GemmFormat::kW4A16, 4, 16}, {GemmFormat::kW3A16, 3, 16},
                               {GemmFormat::kW2A16, 2, 16}};

// A launch on zeros: what is counted does not depend on values.
void RunGemm(GemmFormat format, const GemmProblem& p) {
  const auto experts = static_cast<int64_t>(p.loads.size());
  const int64_t rows = (p.rows + 15) / 16 * 16, cols = cuda::PaddedColumns(p.cols), bricks = cols / 128,
                groups = bricks * std::max(1, p.kind.grids);
  std::vector<int32_t> offsets = {0}, tiles = {0};
  for (const int load : p.loads) {
    offsets.push_back(offsets.back() + load);
    tiles.push_back(tiles.back() + (load + p.token_tile - 1) / p.token_tile);
  }
  const int64_t slots = offsets.back();
  Zeros<uint8_t> codes(cuda::FragmentBytes(p.rows, p.cols, p.kind.weight_bits, cuda::OrderOf(format))),
      zeros(groups * rows);
  Zeros<uint16_t> scales(groups * rows);
  Zeros<float> column_sums(rows), x_scales(slots), y(slots * p.outputs);
  Zeros<uint8_t> x(slots * cols * p.kind.activation_bits / 8);
  Zeros<int32_t> x_sums(slots * (groups + 1));
  const std::vector<cuda::ExpertMatrix> matrices(
      experts, {codes.data(), scales.data(), p.weight_zeros ? zeros.data() : nullptr, column_sums.data()});
  cuda::GroupedGemmArguments a;
  a.experts = matrices.data();
  a.expert_count = experts;
  a.rows = p.rows, a.cols = p.cols, a.group = p.kind.grouped() ? 128 / p.kind.grids : 0;
  a.offsets = offsets.data(), a.tile_offsets = tiles.data(), a.slots = slots, a.token_tile = p.token_tile;
  a.x = x.data();
  if (p.kind.activation_bits != 16) a.x_scales = x_scales.data(), a.x_sums = x_sums.data();
  a.x_sums_of_brick = std::max(1, p.kind.grids);
  a.outputs = p.outputs, a.y = y.data(), a.ldy = p.outputs;
  a.machine = MachineOf(p);
  ResetCounters();
  ASSERT_EQ(cuda::GroupedGemm(format, a, nullptr), 0);
}

TEST(RooflineTest, GroupedGemmCountsAreThoseOfTheEmulator) {
  for (const int architecture : {80, 90}) {
    emulation::Options options = emulation::CurrentOptions();
    options.architecture = architecture;
    const emulation::ScopedOptions scope(options);
    int turn = 0;
    for (const Format& f : kFormats) {
      for (const int grids : {0, 1, 2, 4}) {
        if (grids > 1 && f.activation_bits == 16 && architecture != 80) continue;
        for (const int tile : {8, 16, 32, 128}) {
          GemmProblem p;
          p.kind = {f.weight_bits, f.activation_bits, grids};
          p.weight_zeros = turn % 3 != 0;
          p.rows = p.outputs = turn % 2 == 0 ? 72 : 150;
          p.cols = 300 + 128 * (turn % 2);  // an odd and an even number of bricks
          p.loads = {3, 0, tile + 1};
          p.x_rows = 4 + tile;
          p.token_tile = tile;
          p.multiprocessors = turn % 4 < 2 ? 1 : 7;
          p.architecture = architecture;
          RunGemm(f.format, p);
          const std::string what = "sm_" + std::to_string(architecture) + " W" + std::to_string(f.weight_bits) + "A" +
                                   std::to_string(f.activation_bits) + " grids " + std::to_string(grids) + " tile " +
                                   std::to_string(tile) + " case " + std::to_string(turn);
          const Work w = GroupedGemmWork(p);
          ExpectCounted(w, what);
          ExpectCountedInShared(w, what);
          ++turn;
        }
      }
    }
  }
}

// Hopper's kernel, as GroupedGemm itself chooses it: clusters of 1 and 2; blocks and experts without slots; one and
// several rounds.
TEST(RooflineTest, GroupedWgmmaCountsAreThoseOfTheEmulator) {
  emulation::Options options = emulation::CurrentOptions();
  options.architecture = 90;
  const emulation::ScopedOptions scope(options);
  const std::vector<std::vector<int>> all_loads = {{70, 0, 145}, {300, 3}, {300, 200}, {600, 290, 5}};
  const int clusters[] = {1, 2, 2, 2};
  for (size_t i = 0; i < all_loads.size(); ++i) {
    GemmProblem p;
    p.kind = {8, 8, 0};
    p.weight_zeros = i % 2 == 0;
    p.rows = p.outputs = i % 2 == 0 ? 72 : 550;
    p.cols = 300;
    p.loads = all_loads[i];
    p.token_tile = 128;
    p.multiprocessors = i % 2 == 0 ? 4 : 13;
    ASSERT_TRUE(TakesWgmma(p));
    RunGemm(GemmFormat::kW8A8, p);
    const Work w = GroupedWgmmaWork(p);
    const std::string what = "wgmma case " + std::to_string(i);
    EXPECT_EQ(w.cluster, clusters[i]) << what;
    ExpectCounted(w, what);
    ExpectCountedInShared(w, what);
  }
  GemmProblem few;
  few.kind = {8, 8, 0};
  few.loads = {63, 64};
  EXPECT_FALSE(TakesWgmma(few));
}

// At decode an expert has one slot tile: its weights are copied once, which is what memory_bytes counts.
TEST(RooflineTest, DecodeCopiesEveryWeightOnce) {
  GemmProblem p;
  p.kind = {4, 16, 1};
  p.rows = p.outputs = 256, p.cols = 512;
  p.loads = {2, 0, 8, 1};
  p.x_rows = 8;
  p.multiprocessors = 4;
  RunGemm(GemmFormat::kW4A16, p);
  const Work w = GroupedGemmWork(p);
  const double weights = 3 * 256 * (512 * 0.5 + 4 * 3), tokens = 3 * 2 * 8 * 512 * 2;  // 3 tiles, 2 row tiles each
  EXPECT_EQ(static_cast<double>(ReadCounters().copied_bytes), weights + tokens);
  EXPECT_EQ(w.memory_bytes, weights + 8 * 512 * 2 + 11 * 256 * 4);
  EXPECT_EQ(w.macs, 11.0 * 256 * 512);
}

TEST(RooflineTest, AttentionCountsAreThoseOfTheEmulator) {
  for (const int64_t dim : {32, 64, 128}) {
    for (const int32_t queries : {200, 1}) {
      constexpr int32_t kKeys = 300;
      constexpr int64_t kHeads = 4, kKvHeads = 2, kSequences = 2;
      const int32_t query_begin[] = {0, queries, 2 * queries}, key_begin[] = {0, kKeys}, key_count[] = {kKeys, kKeys};
      Zeros<cuda::Bf16> q(kSequences * queries * kHeads * dim), k(kSequences * kKeys * kKvHeads * dim),
          v(k.values.size());
      Zeros<float> out(kSequences * queries * kHeads * dim);
      cuda::AttentionBatch b;
      b.sequences = kSequences;
      b.query_begin = query_begin, b.key_begin = key_begin, b.key_count = key_count;
      b.max_queries = queries, b.max_keys = kKeys, b.heads = kHeads, b.kv_heads = kKvHeads, b.head_dim = dim;
      AttentionProblem p{kSequences, queries, kKeys, kHeads, kKvHeads, dim, 4};
      ResetCounters();
      ASSERT_EQ(cuda::Attention(b, q.data(), kHeads * dim, k.data(), kKvHeads * dim, v.data(), kKvHeads * dim,
                                out.data(), kHeads * dim, nullptr),
                0);
      const std::string what = "dim " + std::to_string(dim) + " queries " + std::to_string(queries);
      ExpectCounted(AttentionWork(p), what);
      ExpectCountedInShared(AttentionWork(p), what);
      if (queries != 1) continue;
      Zeros<float> workspace(cuda::DecodeWorkspace(b));
      ResetCounters();
      ASSERT_EQ(cuda::AttentionDecode(b, q.data(), kHeads * dim, k.data(), kKvHeads * dim, v.data(), kKvHeads * dim,
                                      workspace.data(), out.data(), kHeads * dim, nullptr),
                0);
      ExpectCounted(AttentionDecodeWork(p), "decode " + what);
    }
  }
}

TEST(RooflineTest, HessianCountsAreThoseOfTheEmulator) {
  constexpr int64_t kTokens = 1100, kColumns = 136;
  Zeros<float> x(kTokens * kColumns), workspace(cuda::HessianWorkspace(kTokens, kColumns));
  Zeros<double> h(kColumns * kColumns);
  ResetCounters();
  ASSERT_EQ(
      cuda::AddHessian(x.data(), kColumns, nullptr, h.data(), kColumns, workspace.data(), kTokens, kColumns, nullptr),
      0);
  ExpectCounted(HessianWork(kTokens, kColumns), "hessian");
}

TEST(RooflineTest, FloorByHand) {
  // 4 SMs at 1 GHz, two blocks on each; 10 items, so the busiest SM has 3 where the mean is 2.5.
  const Chip chip{"toy", 80, 4, 1e9, 4096, 2048, 1024, 1e12, 0.5, 0, 0.8, 2e12, 1e-6, 0.5e-6, 2e-6};
  Work w;
  w.launches = 1, w.blocks = 8, w.items = 10;
  w.mma_s8 = 10 * 1000;
  w.ldmatrix_wavefronts = 30000, w.copied_bytes = 10 * 128000;
  w.memory_bytes = 1e6, w.macs = 10 * 1000 * 4096.0;
  w.resident = 2, w.flight_bytes = 50000;
  w.dependent_loads = 4;
  const Floor f = FloorOf(w, chip, 6.0);
  EXPECT_EQ(f.resident, 2);
  EXPECT_DOUBLE_EQ(f.waves, 1.25);
  EXPECT_DOUBLE_EQ(f.tail, 1.2);
  // The busiest SM: 3000 MMAs of 2 cycles (4096 multiply-adds, 2048 a cycle), half of which mma.sync reaches.
  EXPECT_DOUBLE_EQ(f.mma, 3000 * 2 / 0.5 * 1e-9);
  EXPECT_DOUBLE_EQ(f.issue, 3000 * 6 / 4 * 1e-9);
  EXPECT_DOUBLE_EQ(f.shared, (3000 * 3 + 3 * 1000) * 1e-9);
  EXPECT_DOUBLE_EQ(f.l2, 1280000 / 2e12);
  // 8 items with 400000 bytes in flight (0.4 TB/s), then 2 with 100000 (0.1 TB/s); memory could do 0.8.
  EXPECT_DOUBLE_EQ(f.memory, 8e5 / 0.4e12 + 2e5 / 0.1e12);
  EXPECT_DOUBLE_EQ(f.flight, 100000);
  EXPECT_DOUBLE_EQ(f.flight_needed, 0.8e12 * 1e-6 / 4);
  EXPECT_DOUBLE_EQ(f.start, 2e-6 + 1e-6 + 4 * 0.5e-6);
  EXPECT_DOUBLE_EQ(f.busy, 12e-6);
  EXPECT_DOUBLE_EQ(f.seconds, f.start + 12e-6);
  EXPECT_STREQ(f.bound, "MMA");
  EXPECT_DOUBLE_EQ(f.memory_share, 1e6 / 1e12 / 17e-6);
  EXPECT_DOUBLE_EQ(f.busy_memory_share, 1e6 / 1e12 / 12e-6);
  EXPECT_DOUBLE_EQ(f.mma_share, 10 * 1000 * 4096.0 / (2048 * 4 * 1e9) / 17e-6);
  EXPECT_DOUBLE_EQ(f.busy_mma_share, 10 * 1000 * 4096.0 / (2048 * 4 * 1e9) / 12e-6);
  EXPECT_NE(Explain(w, chip, 6.0).find("17.00 us"), std::string::npos) << Explain(w, chip, 6.0);
}

// 8 SMs at 1 GHz, two clusters of 4; 3 items, so the busier cluster has 2 where the mean is 1.5.
TEST(RooflineTest, FloorOfClustersByHand) {
  const Chip chip{"toy", 90, 8, 1e9, 0, 4096, 2048, 1e12, 0.5, 0.8, 0.8, 2e12, 1e-6, 0.5e-6, 2e-6};
  Work w;
  w.launches = 1, w.blocks = 8, w.items = 3, w.cluster = 4;
  w.wgmma = 3 * 4 * 100, w.wgmma_columns = w.wgmma * 128;
  w.shared_wavefronts = 12000, w.bulk_bytes = 3 * 32000, w.bulk_landed_bytes = 4 * w.bulk_bytes, w.copied_bytes = 12000;
  w.memory_bytes = 3e5, w.macs = 1e6;
  w.flight_bytes = 50000;
  const Floor f = FloorOf(w, chip, 12.0);
  EXPECT_DOUBLE_EQ(f.waves, 1.5);
  EXPECT_DOUBLE_EQ(f.tail, 2 / 1.5);
  // Two items of the busier cluster: 200 products of 64 x 128 x 32 in each SM, 64 cycles at most and 80 in fact.
  EXPECT_DOUBLE_EQ(f.mma, 200 * 80e-9);
  EXPECT_DOUBLE_EQ(f.issue, 200 * 12e-9);
  EXPECT_DOUBLE_EQ(f.l2, (96000 + 12000) / 2e12);
  EXPECT_DOUBLE_EQ(f.shared, (12000 + (4 * 96000 + 12000 + 32.0 * 1200 * 128) / 128) / 8 * (2 / 1.5) * 1e-9);
  // Two clusters with 4 x 50000 bytes each in flight, then one.
  EXPECT_DOUBLE_EQ(f.memory, 2e5 / 0.4e12 + 1e5 / 0.2e12);
  EXPECT_DOUBLE_EQ(f.mma_share, 1e6 / (4096.0 * 8 * 1e9) / f.seconds);
}

TEST(RooflineTest, SharedMemoryLimitsResidentBlocks) {
  Work w;
  w.launches = w.blocks = w.items = 1;
  w.resident = 2;
  w.shared_bytes = 99 << 10;  // two fit an H100 or A100... of 164 KiB only one
  EXPECT_EQ(FloorOf(w, Chips()[0], 0).resident, 1);
  EXPECT_EQ(FloorOf(w, Chips()[2], 0).resident, 2);
  w.shared_bytes = 0;
  w.threads = 1024;  // 1536 at once on the RTX 4090
  EXPECT_EQ(FloorOf(w, Chips()[1], 0).resident, 1);
  EXPECT_EQ(FloorOf(w, Chips()[2], 0).resident, 2);
}

TEST(RooflineTest, LoadsAddUpAndRepeat) {
  const std::vector<int> loads = UniformLoads(100, 16, 3);
  int sum = 0;
  for (const int load : loads) {
    sum += load;
    EXPECT_LE(load, 100);
  }
  EXPECT_EQ(sum, 300);
  EXPECT_EQ(loads, UniformLoads(100, 16, 3));
}

}  // namespace
}  // namespace eaq::kernels::roofline

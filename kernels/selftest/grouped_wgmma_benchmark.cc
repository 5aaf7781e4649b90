// W8A8 at prefill: grouped_wgmma with clusters of 1, 2 and 4 blocks beside the mma kernel, on the same inputs.
// (cuBLAS's int8 products of the same shapes: MoeCublas.)
#include <cuda_runtime_api.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/grouped_gemm_formats.h"
#include "kernels/cuda/grouped_wgmma.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/pack_weights.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/selftest/benchmark.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

struct Product {
  const char* name;
  int64_t rows, cols, experts, k;
  bool swiglu;
};
constexpr Product kProducts[] = {
    {"OLMoE gate+up", 2 * 1024, 2048, 64, 8, true},
    {"OLMoE down", 2048, 1024, 64, 8, false},
    {"Mixtral gate+up", 2 * 14336, 4096, 8, 2, true},
    {"Mixtral down", 4096, 14336, 8, 2, false},
    {"DeepSeek-V2-Lite gate+up", 2 * 1408, 2048, 64, 6, true},
};
constexpr int64_t kTokens = 4096;

template <typename T>
std::vector<T> Repeated(const std::vector<T>& pattern, int64_t count) {
  std::vector<T> all;
  all.reserve(count);
  while (static_cast<int64_t>(all.size()) < count) {
    const auto left = static_cast<size_t>(count) - all.size();
    all.insert(all.end(), pattern.begin(), pattern.begin() + static_cast<int64_t>(std::min(left, pattern.size())));
  }
  return all;
}

void BenchmarkProduct(Benchmark& b, const Product& p) {
  const std::string label = std::string(p.name) + " ";
  if (!b.Wanted(label + "mma") && !b.Wanted(label + "wgmma")) return;
  Random random(1);
  std::vector<int32_t> loads(p.experts, 0), offsets = {0}, tiles = {0};
  for (int64_t t = 0; t < kTokens; ++t) {
    std::set<int64_t> mine;
    while (static_cast<int64_t>(mine.size()) < p.k) mine.insert(random.Integer(0, p.experts - 1));
    for (const int64_t e : mine) ++loads[e];
  }
  for (const int32_t load : loads) {
    offsets.push_back(offsets.back() + load);
    tiles.push_back(tiles.back() + (load + 127) / 128);
  }
  const int64_t slots = offsets.back(), x_rows = p.swiglu ? kTokens : slots, bytes = p.rows * p.cols;
  std::vector<int32_t> pairs(slots);
  for (int64_t s = 0; s < slots; ++s) pairs[s] = static_cast<int32_t>((s * 7919) % slots);
  std::vector<uint16_t> scales(p.experts * p.rows);
  for (uint16_t& s : scales) s = cuda::ToHalf(static_cast<float>(1e-3 * (0.5 + random.Uniform()))).bits;
  const std::vector<uint8_t> pattern = random.Integers<uint8_t>(1 << 22, 0, 255);

  DeviceArray<uint8_t> d_codes("codes", Repeated(pattern, p.experts * bytes)),
      d_x("x", Repeated(pattern, x_rows * p.cols));
  DeviceArray<uint16_t> d_scales("scales", scales);
  DeviceArray<float> d_sums("column sums", random.Normals(p.rows)), d_x_scales("x scales", random.Normals(x_rows)),
      d_factors("factors", random.Normals(slots)), d_y("y", slots * (p.swiglu ? p.rows / 2 : p.rows));
  DeviceArray<int32_t> d_x_zeros("x zeros", random.Integers<int32_t>(x_rows, -128, 127)), d_offsets("offsets", offsets),
      d_tiles("tiles", tiles), d_pairs("pairs", pairs);
  std::vector<cuda::ExpertMatrix> experts;
  for (int64_t e = 0; e < p.experts; ++e) {
    experts.push_back({d_codes.data() + e * bytes, d_scales.data() + e * p.rows, nullptr, d_sums.data()});
  }
  DeviceArray<cuda::ExpertMatrix> d_experts("experts", experts);

  cuda::GroupedGemmArguments a;
  a.experts = d_experts.data();
  a.expert_count = p.experts;
  a.rows = p.rows, a.cols = p.cols;
  a.offsets = d_offsets.data(), a.tile_offsets = d_tiles.data();
  a.slots = slots, a.token_tile = 128;
  a.x = d_x.data(), a.x_scales = d_x_scales.data(), a.x_zeros = d_x_zeros.data();
  if (p.swiglu) a.x_rows = d_pairs.data(), a.x_row_divisor = static_cast<int32_t>(p.k);
  a.swiglu = p.swiglu;
  a.outputs = a.ldy = p.swiglu ? p.rows / 2 : p.rows;
  a.y = d_y.data();
  if (!p.swiglu) a.pair_weights = d_factors.data(), a.pair_of_slot = d_pairs.data();
  a.machine = MachineOfDevice();

  const double operations = 2.0 * static_cast<double>(slots * p.rows * p.cols);
  const double moved = static_cast<double>(p.experts * bytes + x_rows * p.cols + slots * a.outputs * 4);
  const auto report = [&](const std::string& name, auto run) {
    if (!b.Wanted(label + name) || run(nullptr) != 0) return;
    b.Report(label + name, b.TimeGraph([&](int, void* stream) { run(stream); }, 4), moved, operations, Rate::kInt8);
  };
  report("mma", [&](void* stream) { return cuda::LaunchFormat<8, 8, 0>(a, stream); });
  for (const int cluster : {1, 2, 4}) {
    report("wgmma, clusters of " + std::to_string(cluster),
           [&](void* stream) { return cuda::GroupedWgmmaOfClusters(a, cluster, stream); });
  }
}

EAQ_BENCHMARK(GroupedWgmmaPrefill) {
  if (!cuda::HasWgmma()) return;
  for (const Product& p : kProducts) BenchmarkProduct(b, p);
}

}  // namespace
}  // namespace eaq::kernels::selftest

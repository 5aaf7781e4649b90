// kernels/cuda/grouped_bf16.h against its formula in double.
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/grouped_bf16.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

constexpr double kEps = 0x1p-24;

std::vector<uint16_t> RandomBf16(Random& random, int64_t rows, int64_t cols) {
  const int64_t padded = cuda::PaddedColumns(cols);
  std::vector<uint16_t> values(rows * padded, 0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) values[r * padded + c] = cuda::ToBf16(static_cast<float>(random.Normal())).bits;
  return values;
}

double Value(uint16_t bits) { return cuda::ToFloat(cuda::Bf16{bits}); }

struct Case {
  int64_t rows, cols;
  std::vector<int> loads;  // slots of each expert
  bool gather, router;
};

void CheckProduct(Checker& c, const Case& k) {
  Random random(c.seed());
  std::vector<int32_t> offsets = {0}, tiles = {0};
  for (const int load : k.loads) {
    offsets.push_back(offsets.back() + load);
    tiles.push_back(tiles.back() + (load + cuda::kBf16TokenTile - 1) / cuda::kBf16TokenTile);
  }
  const int64_t slots = offsets.back(), padded = cuda::PaddedColumns(k.cols), top_k = 3, ldy = k.rows + 5;
  const int64_t x_rows = k.gather ? slots / top_k + 1 : slots;
  std::vector<std::vector<uint16_t>> weights;
  std::vector<std::unique_ptr<DeviceArray<uint16_t>>> device;
  std::vector<const uint16_t*> pointers;
  for (size_t e = 0; e < k.loads.size(); ++e) {
    weights.push_back(RandomBf16(random, k.rows, k.cols));
    device.push_back(std::make_unique<DeviceArray<uint16_t>>("weights", weights.back()));
    pointers.push_back(device.back()->data());
  }
  std::vector<int32_t> pairs(slots);
  for (int64_t s = 0; s < slots; ++s) pairs[s] = static_cast<int32_t>((s * 7 + 3) % slots);
  const std::vector<uint16_t> x = RandomBf16(random, x_rows, k.cols);
  const std::vector<float> factors = random.Normals(slots);
  DeviceArray<const uint16_t*> d_experts("experts", pointers);
  DeviceArray<int32_t> d_offsets("offsets", offsets), d_tiles("tile_offsets", tiles), d_pairs("pairs", pairs);
  DeviceArray<uint16_t> d_x("x", x);
  DeviceArray<float> d_factors("factors", factors), d_y("y", slots * ldy);

  cuda::GroupedBf16Arguments a;
  a.experts = d_experts.data();
  a.expert_count = static_cast<int64_t>(k.loads.size());
  a.rows = k.rows;
  a.cols = k.cols;
  a.offsets = d_offsets.data();
  a.tile_offsets = d_tiles.data();
  a.slots = slots;
  a.x = d_x.data();
  if (k.gather) {
    a.x_rows = d_pairs.data();
    a.x_row_divisor = static_cast<int32_t>(top_k);
  }
  a.y = d_y.data();
  a.ldy = ldy;
  if (k.router) {
    a.pair_weights = d_factors.data();
    a.pair_of_slot = d_pairs.data();
  }
  a.machine = {1, 100 << 10};
  if (!c.Expect(cuda::GroupedBf16(a, nullptr) == 0, "launch")) return;
  const std::vector<float> y = d_y.Download();
  d_y.Poison();
  if (!c.Expect(cuda::GroupedBf16(a, nullptr) == 0, "second launch")) return;
  c.Same(d_y.Download(), y, "two runs");

  const double tolerance = 2 * (static_cast<double>(k.cols) / 8 + 2) * kEps;
  for (size_t e = 0; e < k.loads.size(); ++e) {
    for (int64_t s = offsets[e]; s < offsets[e + 1]; ++s) {
      const int64_t row = k.gather ? pairs[s] / top_k : s;
      const double factor = k.router ? factors[pairs[s]] : 1.0f;
      for (int64_t n = 0; n < ldy; ++n) {
        if (n >= k.rows) {
          c.Expect(y[s * ldy + n] != y[s * ldy + n], "wrote beyond the row");
          continue;
        }
        double sum = 0, magnitude = 0;
        for (int64_t i = 0; i < k.cols; ++i) {
          const double product = Value(weights[e][n * padded + i]) * Value(x[row * padded + i]);
          sum += product;
          magnitude += std::fabs(product);
        }
        c.Near(y[s * ldy + n], factor * sum,
               std::fabs(factor) * tolerance * magnitude + 2 * kEps * std::fabs(factor * sum), "y", s * ldy + n);
      }
    }
  }
}

EAQ_CHECK_CASE(GroupedBf16) {
  CheckProduct(c, {64, 128, {32}, false, false});
  CheckProduct(c, {1, 1, {1}, false, false});
  CheckProduct(c, {65, 130, {0, 33, 0, 1, 7}, true, true});
  CheckProduct(c, {24, 400, {0, 0, 70}, true, false});
  CheckProduct(c, {130, 64, {40, 3}, false, true});
}

EAQ_CHECK_CASE(GroupedBf16Limits) {
  cuda::GroupedBf16Arguments a;
  c.Expect(cuda::GroupedBf16(a, nullptr) == 0, "no slots: nothing to do");
  a.slots = 1;
  c.Expect(cuda::GroupedBf16(a, nullptr) == 1, "no experts");
  a.expert_count = a.rows = a.cols = 1;
  c.Expect(cuda::GroupedBf16(a, nullptr) == 1, "ldy below rows");
}

}  // namespace
}  // namespace eaq::kernels::selftest

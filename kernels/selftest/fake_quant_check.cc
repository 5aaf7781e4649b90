// kernels/cuda/fake_quant.h against its formula in double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda/fake_quant.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::RowQuantizer;

struct Grid {
  double scale, zero, max_code;
};

Grid GridOf(const float* row, int64_t n, const RowQuantizer& q) {
  const double max_code = std::ldexp(1.0, q.bits) - 1, middle = std::ldexp(1.0, q.bits - 1);
  if (q.fixed) return {q.fixed_scale, static_cast<double>(q.fixed_zero), max_code};
  float low = 0, high = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (row[i] < low) low = row[i];
    if (row[i] > high) high = row[i];
  }
  low *= q.clip_ratio;
  high *= q.clip_ratio;
  if (q.grid == cuda::RowGrid::kAsymmetric) {
    if (low == 0 && high == 0) low = -1, high = 1;
    const double scale = std::max((double{high} - low) / max_code, 1e-30);
    return {scale, std::clamp(std::nearbyint(-low / scale), 0.0, max_code), max_code};
  }
  const double largest = std::max(-low, high);
  if (q.grid == cuda::RowGrid::kSymmetricRestricted) return {largest / (middle - 1), middle, max_code};
  return {(-low > high ? largest : -largest) / middle, middle, max_code};
}

// Every y must be a level of its row's grid, as near to x as the nearest level is. The kernel's scale has a relative
// error of at most 2 eps (a subtraction and a division), its quotient one more and the product one more: a code may
// differ at a tie alone, and level * scale is off by at most 4 eps |value|, eps = 2^-24.
void CheckRows(Checker& c, const std::vector<float>& x, const std::vector<float>& y, int64_t ldx, int64_t rows,
               int64_t n, const RowQuantizer& q) {
  for (int64_t r = 0; r < rows; ++r) {
    const Grid g = GridOf(&x[r * ldx], n, q);
    for (int64_t i = 0; i < ldx; ++i) {
      const double value = x[r * ldx + i], got = y[r * ldx + i];
      if (i >= n) {
        c.Expect(got == value, "wrote beyond row ", r, " at ", i);
        continue;
      }
      const double nearest = std::clamp(std::nearbyint(value / g.scale), -g.zero, g.max_code - g.zero);
      const double level = std::nearbyint(got / g.scale);
      c.Near(got, level * g.scale, 4 * 0x1p-24 * std::fabs(got), "level", r * ldx + i);
      c.Expect(level >= -g.zero && level <= g.max_code - g.zero, "code out of range at row ", r, ", ", i);
      c.Expect(std::fabs(got - value) <= std::fabs(nearest * g.scale - value) + 8 * 0x1p-24 * std::fabs(value) +
                                             8 * 0x1p-24 * std::fabs(g.scale),
               "not the nearest level: row ", r, ", ", i, ": ", value, " became ", got);
    }
  }
}

EAQ_CHECK_CASE(FakeQuantShapes) {
  Random random(c.seed());
  int turn = 0;
  for (const int64_t n : {1, 31, 33, 128, 300, 2048}) {
    for (const cuda::RowGrid grid :
         {cuda::RowGrid::kAsymmetric, cuda::RowGrid::kSymmetricFullRange, cuda::RowGrid::kSymmetricRestricted}) {
      for (const int bits : {2, 4, 8}) {
        RowQuantizer q{bits, grid, bits == 4 ? 0.8f : 1.0f};
        q.fixed = turn++ % 4 == 3;
        q.fixed_scale = 0.3f;
        q.fixed_zero = grid == cuda::RowGrid::kAsymmetric ? 1 : 1 << (bits - 1);
        const int64_t rows = 3, ldx = n + 3;
        const std::vector<float> x = random.Normals(rows * ldx);
        DeviceArray<float> device("x", x);
        c.Expect(cuda::FakeQuantPerToken(device.data(), ldx, rows, n, q, nullptr) == 0, "launch");
        CheckRows(c, x, device.Download(), ldx, rows, n, q);
      }
    }
  }
}

EAQ_CHECK_CASE(FakeQuantBrokenTokens) {
  Random random(c.seed());
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  std::vector<float> x = random.Normals(3 * 40);
  x[7] = nan;
  x[40 + 7] = infinity;
  DeviceArray<float> device("x", x);
  c.Expect(cuda::FakeQuantPerToken(device.data(), 40, 3, 40, 4, 1.0f, nullptr) == 0, "launch");
  const std::vector<float> y = device.Download();
  c.Expect(std::isnan(y[7]), "NaN must stay NaN");
  c.Expect(!std::isnan(y[8]), "NaN is no part of the range");
  for (int i = 40; i < 80; ++i) c.Expect(std::isnan(y[i]), "a token with infinity must become NaN, ", i);
  CheckRows(c, {x.begin() + 80, x.end()}, {y.begin() + 80, y.end()}, 40, 1, 40, {4});
}

}  // namespace
}  // namespace eaq::kernels::selftest

// kernels/cuda/quantize_rows.h against its definition.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::RowGrid;
using cuda::RowQuantizer;

struct Grid {
  float scale;
  int zero;  // 0 .. 2^bits - 1
};

// In float, operation by operation as the CPU (eaq/quant/grid.cc): the kernel must give the same bits.
Grid GridOf(const RowQuantizer& q, const float* x, int64_t n) {
  float low = 0, high = 0;
  bool broken = false;
  for (int64_t i = 0; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
    broken = broken || std::isnan(x[i]);
  }
  Grid grid{q.fixed_scale, q.fixed_zero};
  const auto max_code = static_cast<float>((1 << q.bits) - 1);
  const int middle = 1 << (q.bits - 1);
  if (q.fixed) {
    if (!std::isfinite(low) || !std::isfinite(high)) broken = true;
  } else {
    low *= q.clip_ratio;
    high *= q.clip_ratio;
    if (q.grid == RowGrid::kAsymmetric) {
      if (low == 0 && high == 0) low = -1, high = 1;
      grid.scale = std::max((high - low) / max_code, 1e-30f);
      const float zero = std::nearbyint(-low / grid.scale);
      grid.zero = static_cast<int>(std::min(zero > 0 ? zero : 0.0f, max_code));
    } else {
      float largest = std::max(-low, high);
      if (largest == 0) largest = 1e-5f;
      grid.zero = middle;
      if (q.grid == RowGrid::kSymmetricFullRange) {
        grid.scale = (-low > high ? largest : -largest) / static_cast<float>(middle);
      } else {
        grid.scale = largest / static_cast<float>(middle - 1);
      }
      if (std::fabs(grid.scale) < 1e-30f) grid.scale = std::copysign(1e-30f, grid.scale);
    }
  }
  if (broken || !std::isfinite(grid.scale)) grid.scale = std::numeric_limits<float>::quiet_NaN();
  return grid;
}

struct Case {
  int64_t rows, cols, ldx;
  RowQuantizer q;
  bool divide, gather;
};

void CheckQuantize(Checker& c, const Case& k, const std::vector<float>& x, Random& random) {
  const int64_t source_rows = static_cast<int64_t>(x.size()) / k.ldx;
  const int64_t padded = cuda::PaddedColumns(k.cols), bricks = padded / 128, groups = k.q.per_group ? bricks : 1;
  const int64_t part = 128 / k.q.sums_of_brick;  // columns of a sum
  std::vector<float> divisors(k.cols);
  for (float& d : divisors) d = static_cast<float>(0.5 + random.Uniform());
  std::vector<int32_t> gather = random.Integers<int32_t>(k.rows, 0, 3 * source_rows - 1);
  if (k.rows > 2) gather[1] = -1;

  DeviceArray<float> dx("x", x), dd("divisors", divisors), scales("scales", k.rows * groups);
  DeviceArray<int32_t> dg("gather", gather), zeros("zeros", k.rows * groups),
      sums("sums", k.rows * (padded / part + 1));
  DeviceArray<int8_t> codes("codes", k.rows * padded / (k.q.pack4 ? 2 : 1));
  cuda::RowSource source{dx.data(), k.ldx, k.rows, k.cols};
  if (k.divide) source.divisors = dd.data();
  if (k.gather) {
    source.gather = dg.data();
    source.gather_divisor = 3;
  }
  c.Expect(cuda::QuantizeRows(source, k.q, codes.data(), scales.data(), zeros.data(), sums.data(), nullptr) == 0,
           "launch");

  std::vector<float> want_scales;
  std::vector<int32_t> want_zeros, want_sums;
  std::vector<int8_t> want_codes(k.rows * padded, 0);
  const int middle = 1 << (k.q.bits - 1);
  for (int64_t r = 0; r < k.rows; ++r) {
    std::vector<float> row(padded, 0.0f);
    const int64_t from = k.gather ? (gather[r] < 0 ? -1 : gather[r] / 3) : r;
    for (int64_t i = 0; i < k.cols && from >= 0; ++i) row[i] = x[from * k.ldx + i] / (k.divide ? divisors[i] : 1.0f);
    int32_t total = 0;
    for (int64_t b = 0; b < bricks; ++b) {
      const Grid grid = k.q.per_group ? GridOf(k.q, &row[b * 128], 128) : GridOf(k.q, row.data(), padded);
      if (b < groups) {
        want_scales.push_back(grid.scale);
        want_zeros.push_back(grid.zero - middle);
      }
      want_sums.resize(want_sums.size() + k.q.sums_of_brick, 0);
      const auto sum_of = want_sums.end() - k.q.sums_of_brick;
      for (int64_t i = b * 128; i < std::min(b * 128 + 128, k.cols); ++i) {
        const float code = std::nearbyint(row[i] / grid.scale) + static_cast<float>(grid.zero - middle);
        const float low = static_cast<float>(-middle), high = static_cast<float>(middle - 1);
        want_codes[r * padded + i] = static_cast<int8_t>(code > low ? std::min(code, high) : low);
        sum_of[(i - b * 128) / part] += want_codes[r * padded + i];
        total += want_codes[r * padded + i];
      }
    }
    want_sums.push_back(total);
  }
  // NaN has many bit patterns.
  std::vector<float> got_scales = scales.Download();
  for (float& s : got_scales)
    if (std::isnan(s)) s = std::numeric_limits<float>::quiet_NaN();
  c.Same(got_scales, want_scales, "scales");
  c.Same(zeros.Download(), want_zeros, "zeros");
  c.Same(sums.Download(), want_sums, "sums");
  if (k.q.pack4) {
    std::vector<int8_t> packed(want_codes.size() / 2);
    for (size_t i = 0; i < packed.size(); ++i) {
      const size_t low = i / 32 * 64 + i % 32;
      packed[i] = static_cast<int8_t>((want_codes[low] & 15) | (want_codes[low + 32] & 15) << 4);
    }
    want_codes = packed;
  }
  c.Same(codes.Download(), want_codes, "codes");
}

EAQ_CHECK_CASE(QuantizeRows) {
  Random random(c.seed());
  int turn = 0;
  for (const int64_t cols : {1, 31, 127, 128, 130, 300, 1152}) {
    for (const RowGrid grid : {RowGrid::kAsymmetric, RowGrid::kSymmetricFullRange, RowGrid::kSymmetricRestricted}) {
      for (const int bits : {8, 4, 2}) {
        Case k{3, cols, cols + turn % 5, {bits, grid}, turn % 2 == 0, turn % 3 == 0};
        k.q.clip_ratio = turn % 4 == 0 ? 0.7f : 1.0f;
        k.q.per_group = turn % 7 < 3;
        k.q.pack4 = bits <= 4 && turn % 2 == 1;
        k.q.sums_of_brick = 1 << turn % 3;
        CheckQuantize(c, k, random.Normals(3 * k.ldx), random);
        ++turn;
      }
    }
  }
}

// Enough rows for a warp each and for two; a row longer than the registers hold.
EAQ_CHECK_CASE(QuantizeRowsShapes) {
  Random random(c.seed());
  const int64_t rows = c.small() ? 35 : 1027;
  for (const int64_t cols : {100, 1100}) {
    Case many{rows, cols, cols, {8}, true, true};
    CheckQuantize(c, many, random.Normals(20 * cols), random);
    many.q.per_group = many.q.pack4 = true;
    many.q.sums_of_brick = 4;
    many.q.bits = 4;
    CheckQuantize(c, many, random.Normals(20 * cols), random);
  }
  for (const int64_t cols : {99, 1099}) {  // rows that start anywhere
    CheckQuantize(c, {rows, cols, cols, {8}, true, true}, random.Normals(20 * cols), random);
  }
  for (const int64_t cols : {5000, 5001, 14500}) {
    Case wide{2, cols, cols + 4, {8}, true, false};
    CheckQuantize(c, wide, random.Normals(2 * wide.ldx), random);
    wide.q.per_group = true;
    wide.q.sums_of_brick = 2;
    CheckQuantize(c, wide, random.Normals(2 * wide.ldx), random);
  }
}

EAQ_CHECK_CASE(QuantizeRowsEdges) {
  Random random(c.seed());
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  // Zeros, tiny, one-sided, NaN, infinities, a row alone.
  std::vector<float> x = random.Normals(7 * 200);
  std::fill_n(x.begin(), 200, 0.0f);
  for (int i = 200; i < 400; ++i) x[i] = 1e-38f;
  for (int i = 400; i < 600; ++i) x[i] = std::fabs(x[i]) + 1;
  for (int i = 600; i < 800; ++i) x[i] = -std::fabs(x[i]) - 1;
  x[850] = nan;
  x[1150] = infinity;
  x[1200] = -infinity;
  for (const RowGrid grid : {RowGrid::kAsymmetric, RowGrid::kSymmetricFullRange, RowGrid::kSymmetricRestricted}) {
    for (const bool group : {false, true}) {
      Case k{7, 200, 200, {4, grid}, false, false};
      k.q.per_group = group;
      CheckQuantize(c, k, x, random);
    }
  }
  Case fixed{7, 200, 200, {8}, true, true};
  fixed.q.fixed = true;
  fixed.q.fixed_scale = 0.013f;
  fixed.q.fixed_zero = 100;
  CheckQuantize(c, fixed, x, random);

  cuda::RowSource source{nullptr, 4, 1, 4};
  c.Expect(cuda::QuantizeRows(source, {9}, nullptr, nullptr, nullptr, nullptr, nullptr) != 0, "9 bits");
  RowQuantizer pack{8};
  pack.pack4 = true;
  c.Expect(cuda::QuantizeRows(source, pack, nullptr, nullptr, nullptr, nullptr, nullptr) != 0, "8 bits in 4");
  pack.pack4 = false;
  pack.sums_of_brick = 3;
  c.Expect(cuda::QuantizeRows(source, pack, nullptr, nullptr, nullptr, nullptr, nullptr) != 0, "3 sums");
  source.rows = 0;
  c.Expect(cuda::QuantizeRows(source, {8}, nullptr, nullptr, nullptr, nullptr, nullptr) == 0, "no rows");
}

EAQ_CHECK_CASE(GatherRowsBf16) {
  Random random(c.seed());
  for (const int64_t cols : {1, 128, 203}) {
    for (const int terms : {1, 2, 3}) {
      const int64_t padded = cuda::PaddedColumns(cols);
      std::vector<float> x = random.Normals(4 * cols);
      x[0] = std::numeric_limits<float>::infinity();
      const std::vector<int32_t> gather = {5, 0, 7, -1, 2};
      DeviceArray<float> dx("x", x);
      DeviceArray<int32_t> dg("gather", gather);
      DeviceArray<uint16_t> y("y", terms * 5 * padded);
      cuda::RowSource source{dx.data(), cols, 5, cols, dg.data(), 2};
      c.Expect(cuda::GatherRowsBf16(source, terms, y.data(), nullptr) == 0, "launch");
      std::vector<uint16_t> want(terms * 5 * padded, 0);
      const std::vector<uint16_t> got = y.Download();
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t i = 0; i < cols && gather[r] >= 0; ++i) {
          const double value = x[gather[r] / 2 * cols + i];
          double rest = value, sum = 0;
          for (int t = 0; t < terms; ++t) {
            const int64_t at = (t * 5 + r) * padded + i;
            want[at] = cuda::ToBf16(static_cast<float>(rest)).bits;
            const double term = cuda::ToFloat(cuda::Bf16{want[at]});
            rest -= term;
            sum += cuda::ToFloat(cuda::Bf16{got[at]});
          }
          // 9, 17 or all 24 bits: a term's error is at most half its last place.
          constexpr double kError[] = {0x1p-8, 0x1p-16, 0};
          if (std::isfinite(value)) c.Near(sum, value, kError[terms - 1] * std::fabs(value), "sum of terms", i);
        }
      }
      c.Same(got, want, "y");
    }
  }
  cuda::RowSource none;
  c.Expect(cuda::GatherRowsBf16(none, 4, nullptr, nullptr) != 0, "4 terms");
}

}  // namespace
}  // namespace eaq::kernels::selftest

// kernels/cuda/weight_quant.h: grids and codes exactly as the formulas of eaq/quant give them, searches as good as the
// best candidate.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cuda/weight_quant.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::GridSearch;
using cuda::WeightGrid;
using Kind = cuda::WeightGridKind;

// The nearest float16 of a number, by its definition: a multiple of 2^(exponent - 10), ties to even.
float ToF16Scale(float scale) {
  const double magnitude = std::fabs(double{scale});
  double rounded;
  if (magnitude < 0x1p-14) {
    rounded = std::max(std::ceil(magnitude * 0x1p24) * 0x1p-24, 0x1p-24);
  } else {
    const double step = std::ldexp(1.0, std::ilogb(magnitude) - 10);
    rounded = std::nearbyint(magnitude / step) * step;
    if (rounded > 65504) rounded = INFINITY;
  }
  return std::copysign(static_cast<float>(rounded), scale);
}

// ParamsFromRangeUnchecked of eaq/quant/grid.cc.
WeightGrid Grid(Kind kind, int bits, float low, float high) {
  low = std::min(low, 0.0f), high = std::max(high, 0.0f);
  const int max_code = (1 << bits) - 1, middle = 1 << (bits - 1);
  if (kind == Kind::kAsymmetric) {
    if (low == 0 && high == 0) low = -1, high = 1;
    const float scale = ToF16Scale((high - low) / static_cast<float>(max_code));
    return {scale, static_cast<int32_t>(std::clamp(std::nearbyint(-low / scale), 0.0f, float(max_code)))};
  }
  float largest = std::max(-low, high);
  if (largest == 0) largest = 1e-5f;
  if (kind == Kind::kSymmetricRestricted) return {ToF16Scale(largest / static_cast<float>(middle - 1)), middle};
  return {ToF16Scale((-low > high ? largest : -largest) / static_cast<float>(middle)), middle};
}
// GridAtRatio of eaq/quant/ratio_search.cc on [low, high], which is shrunk already and need not hold 0.
WeightGrid GridOf(Kind kind, int bits, float low, float high, bool zero_in_range) {
  if (zero_in_range || (low <= 0 && high >= 0)) return Grid(kind, bits, low, high);
  const float max_code = static_cast<float>((1 << bits) - 1);
  const float scale = ToF16Scale(std::max((high - low) / max_code, 1e-5f));
  return {scale, static_cast<int32_t>(std::clamp(std::nearbyint(-low / scale), 0.0f, max_code))};
}
int Code(float value, WeightGrid g, int bits) {
  const float u = std::nearbyint(value / g.scale) + static_cast<float>(g.zero);
  return static_cast<int>(std::clamp(u, 0.0f, static_cast<float>((1 << bits) - 1)));
}
float Value(int code, WeightGrid g) { return g.scale * static_cast<float>(code - g.zero); }

// The error that a search minimises. The roundings before the power are the kernel's; the power and the sum are exact.
double Error(const float* w, int64_t n, WeightGrid g, int bits, bool power24, float unit) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float e = (Value(Code(w[i], g, bits), g) - w[i]) * (1.0f / unit), y = e * e;
    sum += power24 ? std::pow(double{y} + 1e-30, 1.2) : y;
  }
  return sum;
}

struct Shape {
  int64_t rows, cols, group, pad;
};
constexpr Shape kShapes[] = {{1, 1, 1, 0}, {3, 70, 32, 1}, {4, 128, 128, 0}, {2, 300, 300, 4}, {5, 64, 16, 0}};

bool Equal(WeightGrid a, WeightGrid b) { return a.scale == b.scale && a.zero == b.zero; }

void CheckGrids(Checker& c, const Shape& s, Kind kind, int bits, const GridSearch& search) {
  Random random(c.seed() + bits);
  const int64_t ld = s.cols + s.pad, groups = (s.cols + s.group - 1) / s.group;
  std::vector<float> w = random.Normals(s.rows * ld, 0.05);
  for (int64_t i = 0; i < s.cols; ++i) {
    if (s.rows > 1) w[ld + i] = 0;  // a row of zeros
    if (s.rows > 2)
      w[2 * ld + i] = std::fabs(w[2 * ld + i]) * (i % 7 == 0 ? 1e-6f : 1e-3f);  // of one sign, tiny scales
    if (s.rows > 3) w[3 * ld + i] *= i % 50 == 0 ? 1e5f : 100;                  // with outliers
  }
  DeviceArray<float> device("w", w), rounded("rounded", s.rows * ld);
  DeviceArray<WeightGrid> device_grids("grids", s.rows * groups);
  DeviceArray<uint8_t> device_codes("codes", s.rows * s.cols);
  c.Expect(cuda::FindWeightGrids(device.data(), ld, s.rows, s.cols, s.group, kind, bits, search, device_grids.data(),
                                 nullptr) == 0,
           "launch");
  c.Expect(cuda::QuantizeWeights(device.data(), ld, s.rows, s.cols, s.group, bits, device_grids.data(),
                                 device_codes.data(), rounded.data(), ld, nullptr) == 0,
           "launch");
  c.Expect(cuda::QuantizeWeights(device.data(), ld, s.rows, s.cols, s.group, bits, device_grids.data(), nullptr,
                                 device.data(), ld, nullptr) == 0,
           "launch in place");
  const std::vector<WeightGrid> grids = device_grids.Download();
  const std::vector<uint8_t> codes = device_codes.Download();
  const std::vector<float> values = rounded.Download(), in_place = device.Download();
  for (int64_t r = 0; r < s.rows; ++r) {
    for (int64_t g = 0; g < groups; ++g) {
      const float* from = &w[r * ld + g * s.group];
      const int64_t n = std::min(s.group, s.cols - g * s.group);
      float low = search.zero_in_range ? 0 : from[0], high = low;
      for (int64_t i = 0; i < n; ++i) low = std::min(low, from[i]), high = std::max(high, from[i]);
      const WeightGrid got = grids[r * groups + g];
      const float unit = std::max(std::fabs(low), std::fabs(high));
      std::vector<WeightGrid> candidates;
      const auto candidate_at = [&](float p) {
        candidates.push_back(GridOf(kind, bits, p * low, p * high, search.zero_in_range));
      };
      if (search.way == GridSearch::Way::kFixed || unit == 0) {
        candidate_at(search.way == GridSearch::Way::kFixed ? static_cast<float>(search.first) : 1.0f);
      } else if (search.way == GridSearch::Way::kClip) {
        for (int t = 0; t < static_cast<int>(search.max_shrink * search.steps); ++t) {
          candidate_at(static_cast<float>(1.0 - static_cast<double>(t) / search.steps));
        }
      } else {
        for (int t = 0; t < 101; ++t) {
          candidate_at(static_cast<float>(search.first + t * (1 - search.first) / 100));
        }
      }
      const bool power24 = search.power24 && search.way == GridSearch::Way::kClip;
      double best = INFINITY;
      for (const WeightGrid& candidate : candidates)
        best = std::min(best, unit == 0 ? 0 : Error(from, n, candidate, bits, power24, unit));
      const auto same = [&](const WeightGrid& candidate) { return Equal(candidate, got); };
      c.Expect(std::any_of(candidates.begin(), candidates.end(), same), "row ", r, " group ", g, ": scale ", got.scale,
               " zero ", got.zero, " is no candidate; the first is ", candidates[0].scale, " ", candidates[0].zero);
      // Two errors of which each is off by at most 2e-6 (weight_quant.h).
      if (unit != 0) {
        const double error = Error(from, n, got, bits, power24, unit);
        c.Expect(error <= best * (1 + 4e-6) + 1e-30, "row ", r, " group ", g, ": error ", error, ", best ", best);
      }
    }
    for (int64_t i = 0; i < s.cols; ++i) {
      const WeightGrid g = grids[r * groups + i / s.group];
      const int code = Code(w[r * ld + i], g, bits);
      c.Expect(codes[r * s.cols + i] == code, "code[", r, ", ", i, "] is ", +codes[r * s.cols + i], ", expected ",
               code);
      c.Near(values[r * ld + i], Value(code, g), 0, "rounded", r * s.cols + i);
      c.Near(in_place[r * ld + i], Value(code, g), 0, "in place", r * s.cols + i);
    }
  }
}

EAQ_CHECK_CASE(WeightGridsMinMax) {
  for (const Shape& s : kShapes)
    for (const int bits : {2, 3, 8})
      for (const Kind kind : {Kind::kAsymmetric, Kind::kSymmetricFullRange, Kind::kSymmetricRestricted})
        CheckGrids(c, s, kind, bits, {});
}
EAQ_CHECK_CASE(WeightGridsClipSearch) {
  for (const Shape& s : kShapes) {
    for (const bool power24 : {true, false}) {
      GridSearch search;
      search.way = GridSearch::Way::kClip;
      search.power24 = power24;
      search.steps = power24 ? 100 : 30;
      CheckGrids(c, s, power24 ? Kind::kAsymmetric : Kind::kSymmetricFullRange, power24 ? 3 : 2, search);
    }
  }
}
EAQ_CHECK_CASE(WeightGridsRatioSearch) {
  for (const bool zero_in_range : {true, false}) {
    GridSearch search;
    search.way = GridSearch::Way::kRatio;
    search.first = 0.35;
    search.zero_in_range = zero_in_range;
    for (const Shape& s : kShapes) CheckGrids(c, s, Kind::kAsymmetric, 4, search);
  }
}
EAQ_CHECK_CASE(WeightGridsFixedRatio) {
  for (const bool zero_in_range : {true, false}) {
    GridSearch search;
    search.first = 0.8;
    search.zero_in_range = zero_in_range;
    for (const Shape& s : kShapes) CheckGrids(c, s, Kind::kAsymmetric, 4, search);
  }
}

}  // namespace
}  // namespace eaq::kernels::selftest

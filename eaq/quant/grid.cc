#include "eaq/quant/grid.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "eaq/tensor/f16.h"

namespace eaq {
namespace {

constexpr float kSmallestF16 = 0x1p-24f;
constexpr float kSmallestNormalF16 = 0x1p-14f;
// Activation scales: small enough to never matter, large enough that x / scale of a normal x stays finite.
constexpr float kSmallestF32Scale = 1e-30f;
// Absmax of a row of zeros under the symmetric kinds (AutoRound and QuaRot floor there).
constexpr float kZeroRowAbsmax = 1e-5f;

const char* KindName(GridKind kind) {
  switch (kind) {
    case GridKind::kAsymmetric:
      return "asymmetric";
    case GridKind::kSymmetricFullRange:
      return "symmetric full-range";
    case GridKind::kSymmetricRestricted:
      return "symmetric restricted";
    case GridKind::kBinary:
      return "binary";
  }
  return "?";
}

float StoreScale(float scale, ScaleStorage storage) {
  if (storage == ScaleStorage::kFloat16) return RoundScaleToF16(scale);
  if (std::fabs(scale) < kSmallestF32Scale) return std::copysign(kSmallestF32Scale, scale);
  return scale;
}

}  // namespace

std::string GridSpec::ToString() const {
  if (!quantized()) return "not quantized";
  std::string text = absl::StrCat("int", bits, " ", KindName(kind));
  switch (granularity) {
    case Granularity::kChannel:
      absl::StrAppend(&text, " per channel");
      break;
    case Granularity::kTensor:
      absl::StrAppend(&text, " per tensor");
      break;
    case Granularity::kGroup:
      absl::StrAppend(&text, " group ", group_size);
      break;
  }
  return text;
}

absl::Status ValidateGrid(const GridSpec& spec) {
  const bool binary = spec.kind == GridKind::kBinary;
  if (spec.bits < (binary ? 1 : 2) || spec.bits > (binary ? 1 : 8)) {
    return absl::InvalidArgumentError(
        absl::StrCat("grid has ", spec.bits, " bits; expected ",
                     binary ? "1, its kind being BINARY" : "2 to 8, or 1 of kind BINARY"));
  }
  if (spec.granularity == Granularity::kGroup && spec.group_size < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("grid is per group with group_size ", spec.group_size, "; expected 1 or more, e.g. 32"));
  }
  if (spec.granularity != Granularity::kGroup && spec.group_size != 0) {
    return absl::InvalidArgumentError(absl::StrCat("grid has group_size ", spec.group_size,
                                                   " but is not per group; set granularity: GROUP or group_size: 0"));
  }
  return absl::OkStatus();
}

absl::Status ValidateRangeGrid(const GridSpec& spec, absl::string_view who) {
  if (spec.kind == GridKind::kBinary) {
    return absl::InvalidArgumentError(absl::StrCat(who, " on a binary grid, which has no range; expected 2 to 8 bits"));
  }
  return ValidateGrid(spec);
}

GridSpec WithBits(GridSpec spec, int bits) {
  spec.bits = bits;
  if (bits == 1) spec.kind = GridKind::kBinary;
  if (bits != 1 && spec.kind == GridKind::kBinary) spec.kind = GridKind::kAsymmetric;
  return spec;
}

float RoundScaleToF16(float scale) {
  const float magnitude = std::fabs(scale);
  float rounded;
  if (magnitude < kSmallestNormalF16) {
    // Subnormal: multiples of 2^-24, upwards. Scaling by powers of two is exact.
    rounded = std::max(std::ceil(magnitude * 0x1p24f) * 0x1p-24f, kSmallestF16);
  } else {
    rounded = F16ToFloat(FloatToF16(magnitude));
  }
  return std::copysign(rounded, scale);
}

GridParams ParamsFromRangeUnchecked(const GridSpec& spec, float min, float max, ScaleStorage storage) {
  min = std::min(min, 0.0f);
  max = std::max(max, 0.0f);
  const int max_code = spec.max_code();
  const int middle = 1 << (spec.bits - 1);
  if (spec.kind == GridKind::kAsymmetric) {
    if (min == 0.0f && max == 0.0f) {
      min = -1.0f;
      max = 1.0f;
    }
    // s = (max - min) / (2^b - 1);  z = round(-min / s), which rounding s to float16 may push past the last code.
    const float scale = StoreScale((max - min) / static_cast<float>(max_code), storage);
    float zero = std::nearbyint(-min / scale);
    if (!(zero > 0.0f)) zero = 0.0f;  // also -0 and NaN (a range that is not finite)
    return {scale, std::min(zero, static_cast<float>(max_code))};
  }
  float absmax = std::max(-min, max);
  if (absmax == 0.0f) absmax = kZeroRowAbsmax;
  if (spec.kind == GridKind::kSymmetricFullRange) {
    // s = +-absmax / 2^(b-1): the extreme of larger magnitude sits on level -2^(b-1) exactly.
    const float sign = -min > max ? 1.0f : -1.0f;
    return {StoreScale(sign * absmax / static_cast<float>(middle), storage), spec.fixed_zero()};
  }
  return {StoreScale(absmax / static_cast<float>(middle - 1), storage), spec.fixed_zero()};
}

absl::StatusOr<GridParams> ParamsFromRange(const GridSpec& spec, float min, float max, ScaleStorage storage) {
  if (spec.kind == GridKind::kBinary) return ValidateRangeGrid(spec, "a range");
  if (!std::isfinite(min) || !std::isfinite(max)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "range [", min, ", ", max, "] of a quantization grid is not finite; look for NaN or infinity in the values"));
  }
  const GridParams params = ParamsFromRangeUnchecked(spec, min, max, storage);
  if (!std::isfinite(params.scale)) {
    return absl::InvalidArgumentError(absl::StrCat("range [", min, ", ", max, "] needs a scale beyond ",
                                                   storage == ScaleStorage::kFloat16 ? "float16's 65504" : "float32",
                                                   " on grid ", spec.ToString()));
  }
  return params;
}

GridParams BinaryParams(absl::Span<const float> values) {
  double sum = 0;
  for (const float w : values) sum += std::fabs(w);
  const double mean = values.empty() ? 0 : sum / static_cast<double>(values.size());
  return {RoundScaleToF16(static_cast<float>(2 * mean)), 0.5f};
}

Range RangeWithZero(absl::Span<const float> values) {
  const float* v = values.data();
  const int64_t n = values.size();
  float min = 0.0f, max = 0.0f;
#pragma omp simd reduction(min : min) reduction(max : max)
  for (int64_t i = 0; i < n; ++i) {
    min = v[i] < min ? v[i] : min;
    max = v[i] > max ? v[i] : max;
  }
  return {min, max};
}

bool AllFinite(absl::Span<const float> values) {
  const float* v = values.data();
  const int64_t n = values.size();
  float sum = 0.0f;  // v - v is 0 for finite v, NaN otherwise
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += v[i] - v[i];
  return sum == 0.0f;
}

}  // namespace eaq

#include "eaq/quant/activation_quant.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

absl::Status CheckRatio(double clip_ratio) {
  if (clip_ratio > 0 && clip_ratio <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("clip ratio of activations is ", clip_ratio, "; expected above 0 and at most 1"));
}

// x <- s (clamp(rint(x / s), -z, 2^b - 1 - z)): the same integers as clamping after adding z, one addition less each
// way. NaN passes both comparisons unchanged and stays NaN.
void QuantizeRun(float* x, int64_t n, GridParams p, int max_code) {
  const float scale = p.scale;
  const float low = 0.0f - p.zero, high = static_cast<float>(max_code) - p.zero;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    float q = std::nearbyint(x[i] / scale);
    q = q < low ? low : q;
    q = q > high ? high : q;
    x[i] = scale * q;
  }
}

}  // namespace

absl::StatusOr<ActivationQuantizer> ActivationQuantizer::Dynamic(const GridSpec& spec, double clip_ratio) {
  ActivationQuantizer quantizer;
  if (!spec.quantized()) return quantizer;
  EAQ_RETURN_IF_ERROR(ValidateRangeGrid(spec, "activations"));
  EAQ_RETURN_IF_ERROR(CheckRatio(clip_ratio));
  if (spec.granularity == Granularity::kTensor) {
    return absl::InvalidArgumentError(
        "dynamic activations per tensor would make a token's result depend on its neighbours; use PER_CHANNEL (per "
        "token) or the static activation stage");
  }
  quantizer.mode_ = Mode::kDynamic;
  quantizer.spec_ = spec;
  quantizer.clip_ratio_ = static_cast<float>(clip_ratio);
  return quantizer;
}

absl::StatusOr<ActivationQuantizer> ActivationQuantizer::Static(const GridSpec& spec, Range range, double clip_ratio) {
  ActivationQuantizer quantizer;
  if (!spec.quantized()) return quantizer;
  quantizer.mode_ = Mode::kStatic;
  quantizer.spec_ = spec;
  quantizer.spec_.granularity = Granularity::kTensor;
  quantizer.spec_.group_size = 0;
  EAQ_RETURN_IF_ERROR(ValidateRangeGrid(quantizer.spec_, "activations"));
  EAQ_RETURN_IF_ERROR(CheckRatio(clip_ratio));
  if (range.min > range.max) {
    return absl::InvalidArgumentError(
        absl::StrCat("static activation range [", range.min, ", ", range.max, "] is reversed"));
  }
  const float ratio = static_cast<float>(clip_ratio);
  quantizer.clip_ratio_ = ratio;
  EAQ_ASSIGN_OR_RETURN(quantizer.params_,
                       ParamsFromRange(quantizer.spec_, ratio * range.min, ratio * range.max, ScaleStorage::kFloat32));
  return quantizer;
}

std::string ActivationQuantizer::ToString() const {
  if (identity()) return "not quantized";
  return absl::StrCat(is_static() ? "static " : "dynamic ", spec_.ToString(), ", clip ratio ", clip_ratio_);
}

void ActivationQuantizer::Apply(MatrixView x) const {
  if (mode_ == Mode::kNone) return;
  const int max_code = spec_.max_code();
  if (mode_ == Mode::kStatic) {
    for (int64_t r = 0; r < x.rows; ++r) QuantizeRun(x.row(r), x.cols, params_, max_code);
    return;
  }
  const int64_t run = spec_.granularity == Granularity::kGroup ? spec_.group_size : x.cols;
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < x.cols; c += run) {
      const int64_t n = std::min(run, x.cols - c);
      const Range range = RangeWithZero(absl::MakeConstSpan(x.row(r) + c, n));
      const GridParams p =
          ParamsFromRangeUnchecked(spec_, clip_ratio_ * range.min, clip_ratio_ * range.max, ScaleStorage::kFloat32);
      QuantizeRun(x.row(r) + c, n, p, max_code);
    }
  }
}

}  // namespace eaq

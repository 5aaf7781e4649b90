#include "eaq/quant/clip_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr int64_t kBlock = 256;  // values summed in float32 before the sum goes to float64

// r <- r (6 - y r^5) / 5
inline float NewtonStep(float y, float r) {
  const float r2 = r * r;
  return r * (1.2f - 0.2f * (y * (r2 * r2 * r)));
}

// |e|^2.4 from y = e^2:  y^1.2 = y * (y * r^4) with r = y^(-1/5).
// r: a first guess from the bits of y (the logarithm is nearly linear in them; relative error < 0.035), then Newton's
// method for y r^5 = 1, whose error goes e -> 3 e^2: 4e-3, 4e-5, 5e-9. No division, no table, no loop: it vectorises.
// Measured over y = 2^-60 .. 2^20: relative error below 9e-7. 1e-30 is added because y = 0 has no r; an error of
// 0 therefore counts 1e-36.
inline float Pow12(float y) {
  y += 1e-30f;
  const float bits = static_cast<float>(std::bit_cast<int32_t>(y));
  // bits(y^(-1/5)) ~ (6/5) bits(1) - bits(y) / 5, moved by the constant that makes the largest error smallest.
  const float guess = std::bit_cast<float>(static_cast<int32_t>(1277951360.0f - 0.2f * bits));
  const float r = NewtonStep(y, NewtonStep(y, NewtonStep(y, guess)));
  const float r2 = r * r;
  return y * (y * (r2 * r2));
}

// Error of one block, float32. kL24 chooses the norm at compile time.
template <bool kL24>
float BlockError(const float* w, int64_t n, float scale, float zero, float max_code, float inverse_unit) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    float u = std::nearbyint(w[i] / scale) + zero;
    u = u < 0.0f ? 0.0f : u;
    u = u > max_code ? max_code : u;
    const float e = (scale * (u - zero) - w[i]) * inverse_unit;
    const float y = e * e;
    sum += kL24 ? Pow12(y) : y;
  }
  return sum;
}

// The sum over all values, or something > `limit` as soon as that is certain (terms are not negative).
double ErrorUpTo(absl::Span<const float> values, GridParams p, int max_code, ClipNorm norm, float unit, double limit) {
  const float inverse_unit = 1.0f / unit;
  const int64_t n = values.size();
  double sum = 0;
  for (int64_t i = 0; i < n && !(sum > limit); i += kBlock) {
    const auto block = norm == ClipNorm::kL24 ? BlockError<true> : BlockError<false>;
    sum += block(values.data() + i, std::min(kBlock, n - i), p.scale, static_cast<float>(p.zero),
                 static_cast<float>(max_code), inverse_unit);
  }
  return sum;
}

}  // namespace

absl::Status ValidateClipSearch(const ClipSearchSpec& clip) {
  if (clip.steps < 1) {
    return absl::InvalidArgumentError(absl::StrCat("clip search has ", clip.steps, " steps; expected 1 or more"));
  }
  if (!(clip.max_shrink > 0 && clip.max_shrink <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("clip search has max_shrink ", clip.max_shrink, "; expected above 0 and at most 1"));
  }
  return absl::OkStatus();
}

double GridError(absl::Span<const float> values, GridParams params, int max_code, ClipNorm norm, float unit) {
  return ErrorUpTo(values, params, max_code, norm, unit, std::numeric_limits<double>::infinity());
}

absl::StatusOr<GridParams> SearchClip(absl::Span<const float> values, const GridSpec& spec,
                                      const ClipSearchSpec& clip) {
  EAQ_RETURN_IF_ERROR(ValidateClipSearch(clip));
  if (!AllFinite(values)) return absl::InvalidArgumentError("clip search: NaN or infinity among the weights");
  const Range range = RangeWithZero(values);
  EAQ_ASSIGN_OR_RETURN(GridParams best, ParamsFromRange(spec, range.min, range.max, ScaleStorage::kFloat16));
  const float unit = std::max(-range.min, range.max);
  if (unit < std::numeric_limits<float>::min()) return best;  // only zeros (or nearly): nothing to gain
  const int max_code = spec.max_code();
  double best_error = GridError(values, best, max_code, clip.norm, unit);
  const int candidates = static_cast<int>(clip.max_shrink * clip.steps);
  for (int i = 1; i < candidates; ++i) {
    const float p = static_cast<float>(1.0 - static_cast<double>(i) / clip.steps);
    const GridParams params = ParamsFromRangeUnchecked(spec, p * range.min, p * range.max, ScaleStorage::kFloat16);
    const double error = ErrorUpTo(values, params, max_code, clip.norm, unit, best_error);
    if (error < best_error) {
      best_error = error;
      best = params;
    }
  }
  return best;
}

}  // namespace eaq

// Fake quantization of a linear's input at run time: in place, per token (dynamic) or on one fixed grid (static).
// It runs on every input of every quantized linear: plain loops that the compiler turns into SIMD.
//
//   EAQ_ASSIGN_OR_RETURN(auto quant, ActivationQuantizer::Dynamic(spec, /*clip_ratio=*/1.0));
//   quant.Apply(x);     // x[n, in] <- dequantised x
//
// A token with NaN or infinity stays visibly broken (its non-finite entries, or the whole token, become NaN); it is
// never turned into plausible numbers.
#ifndef EAQ_QUANT_ACTIVATION_QUANT_H_
#define EAQ_QUANT_ACTIVATION_QUANT_H_

#include <string>

#include "absl/status/statusor.h"
#include "eaq/quant/grid.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

class ActivationQuantizer {
 public:
  // Leaves x as it is.
  ActivationQuantizer() = default;

  // One grid per token (kChannel) or per group of a token (kGroup), from its own min and max times `clip_ratio` in
  // (0, 1]. bits 16 gives the identity. InvalidArgument: bad grid or ratio; kTensor (a row must not depend on others).
  static absl::StatusOr<ActivationQuantizer> Dynamic(const GridSpec& spec, double clip_ratio = 1.0);
  // One grid for all tokens from a range seen in calibration, times `clip_ratio`; values outside are clamped. The
  // granularity of `spec` is taken as kTensor. InvalidArgument: bad grid or ratio, range not finite or min > max.
  static absl::StatusOr<ActivationQuantizer> Static(const GridSpec& spec, Range range, double clip_ratio = 1.0);

  bool identity() const { return mode_ == Mode::kNone; }
  bool is_static() const { return mode_ == Mode::kStatic; }
  const GridSpec& spec() const { return spec_; }
  // The fixed grid; static only.
  GridParams static_params() const { return params_; }
  float clip_ratio() const { return clip_ratio_; }
  std::string ToString() const;

  // x[n, in] in place. Thread-safe; a row's result depends on that row alone.
  void Apply(MatrixView x) const;

 private:
  enum class Mode { kNone, kDynamic, kStatic };
  Mode mode_ = Mode::kNone;
  GridSpec spec_;
  float clip_ratio_ = 1;
  GridParams params_;
};

}  // namespace eaq

#endif  // EAQ_QUANT_ACTIVATION_QUANT_H_

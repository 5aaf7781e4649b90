// Integer grids: the one representation of every quantizer in the house (specs/base_quantizers.md, section 1).
//
// A code u in 0 .. 2^b - 1 stands for the value  scale * (u - zero).  All kinds share this form:
//
//   kind                  scale (R = range of the values together with 0)         zero                source
//   kAsymmetric           (max - min) / (2^b - 1)                                 round(-min/scale)   GPTQ, EAQuant
//   kSymmetricFullRange   +-absmax / 2^(b-1), + if |min| > max, else -            2^(b-1)             AutoRound
//   kSymmetricRestricted  absmax / (2^(b-1) - 1)                                  2^(b-1)             QuaRot
//   kBinary (b = 1)       2 mean|w|                                                1/2                 MC
//
// (the restricted kind's signed level q = u - 2^(b-1) runs from -2^(b-1); that last level is used only after clipping.
// kBinary has no range: code 1 where w >= 0, else 0, which gives mean|w| the sign of w, the least squared error there
// is.) Rounding is half to even everywhere: u = clamp(rint(w / scale) + zero, 0, 2^b - 1), with a true division.
//
// Weight scales are stored as float16, so they are rounded to float16 *before* zero and codes are computed: what
// is fake-quantized is what is packed, bit for bit. To nearest; subnormal ones (< 2^-14) upwards, so that a tiny
// scale never clips its own range; never below 2^-24, the smallest float16. Activation scales are float32.
//
//   EAQ_ASSIGN_OR_RETURN(GridParams p, ParamsFromRange(spec, -0.3f, 0.7f, ScaleStorage::kFloat16));
//   const uint8_t u = QuantizeCode(w, p, spec.max_code());
//   const float back = DequantizeCode(u, p);
#ifndef EAQ_QUANT_GRID_H_
#define EAQ_QUANT_GRID_H_

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace eaq {

enum class GridKind { kAsymmetric, kSymmetricFullRange, kSymmetricRestricted, kBinary };
enum class Granularity {
  kChannel,  // one grid for a row of W (an output channel); for activations: a token
  kTensor,   // one grid for everything
  kGroup,    // one grid for `group_size` consecutive columns of a row; the last group of a row may be shorter
};

struct GridSpec {
  int bits = 16;  // 2 .. 8, kBinary 1; 16: not quantized; 0: pruned, nothing is stored
  GridKind kind = GridKind::kAsymmetric;
  Granularity granularity = Granularity::kChannel;
  int64_t group_size = 0;  // kGroup only

  bool quantized() const { return bits > 0 && bits < 16; }
  bool pruned() const { return bits == 0; }
  int max_code() const { return (1 << bits) - 1; }
  bool symmetric() const { return kind != GridKind::kAsymmetric; }
  // The zero of every grid of a kind that stores none.
  float fixed_zero() const { return kind == GridKind::kBinary ? 0.5f : static_cast<float>(1 << (bits - 1)); }
  // Grids along one row of `cols` columns: 1 unless kGroup.
  int64_t GroupsPerRow(int64_t cols) const {
    return granularity == Granularity::kGroup ? (cols + group_size - 1) / group_size : 1;
  }
  // Grids of a whole [rows, cols] matrix.
  int64_t GridCount(int64_t rows, int64_t cols) const {
    return granularity == Granularity::kTensor ? 1 : rows * GroupsPerRow(cols);
  }
  std::string ToString() const;  // "int4 asymmetric group 32"
  friend bool operator==(const GridSpec&, const GridSpec&) = default;
};

// InvalidArgument unless bits are 2 .. 8 (kBinary: 1) and a group size is there exactly when it is needed.
absl::Status ValidateGrid(const GridSpec& spec);
// The same for callers that search a range, which a kBinary grid has not: InvalidArgument, WHO in front.
absl::Status ValidateRangeGrid(const GridSpec& spec, absl::string_view who);

// SPEC at another width: 1 bit is kBinary, and what was kBinary is kAsymmetric at other widths.
GridSpec WithBits(GridSpec spec, int bits);

struct GridParams {
  float scale = 1;  // negative possible for kSymmetricFullRange; never 0
  float zero = 0;   // a whole number, 0 .. 2^b - 1; kBinary: 1/2
  friend bool operator==(const GridParams&, const GridParams&) = default;
};

enum class ScaleStorage { kFloat16, kFloat32 };

// The grid that covers [min, max] taken together with 0 (min-max quantization). A range of only 0 becomes [-1, 1] for
// kAsymmetric and absmax 1e-5 for the symmetric kinds, as in the references; 0 stays exactly 0.
// InvalidArgument: the range is not finite, or its scale is above float16's 65504, or SPEC is kBinary.
absl::StatusOr<GridParams> ParamsFromRange(const GridSpec& spec, float min, float max, ScaleStorage storage);

// The same without checks, for hot loops: a non-finite range gives a non-finite scale. Not for kBinary.
GridParams ParamsFromRangeUnchecked(const GridSpec& spec, float min, float max, ScaleStorage storage);

// The kBinary grid of these values, its scale rounded to float16: 2 mean|w|. Values that are all 0 get the smallest
// scale.
GridParams BinaryParams(absl::Span<const float> values);

// Smallest and largest of the values and 0. NaN entries are ignored; use AllFinite where they matter.
struct Range {
  float min = 0;
  float max = 0;
};
Range RangeWithZero(absl::Span<const float> values);
// Neither NaN nor infinity among them.
bool AllFinite(absl::Span<const float> values);

// A scale as float16 holds it (the rule of the file comment); keeps the sign. Overflow gives infinity.
float RoundScaleToF16(float scale);

// On a grid of at least 2 bits.
inline uint8_t QuantizeRangeCode(float value, GridParams p, int max_code) {
  float u = std::nearbyint(value / p.scale) + p.zero;
  u = u > 0.0f ? u : 0.0f;  // NaN becomes 0
  u = u > static_cast<float>(max_code) ? static_cast<float>(max_code) : u;
  return static_cast<uint8_t>(u);
}
inline uint8_t QuantizeBinaryCode(float value) { return value >= 0.0f ? 1 : 0; }  // NaN becomes 0
inline uint8_t QuantizeCode(float value, GridParams p, int max_code) {
  return max_code == 1 ? QuantizeBinaryCode(value) : QuantizeRangeCode(value, p, max_code);
}
inline float DequantizeCode(uint8_t code, GridParams p) { return p.scale * (static_cast<float>(code) - p.zero); }

}  // namespace eaq

#endif  // EAQ_QUANT_GRID_H_

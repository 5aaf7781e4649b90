// What a linear of the model is on a device: its weights as the kernels take them, and how the rows that it reads are
// prepared. The numbers are always the CPU's; only the form in which they are multiplied differs:
//
//   weights on the CPU          rows on the CPU         on the device
//   2 .. 8 bits                 2 .. 8 bits a token     codes of 4 or 8 bits by integer codes (W4A4, W4A8, W8A8, mixed)
//   2 .. 6 bits                 not quantized           codes of 2, 3, 4, 6 bits by bfloat16 terms (W2A16 .. W6A16)
//   7, 8 bits                   not quantized           the same of two planes of 4 bits, one launch each
//   2 .. 8 bits                 on grids per group      the last two: rows rounded to their grids, then bfloat16 terms
//   any other grid or origin    any                     the weights' numbers as three bfloat16 terms, one launch each
//   not quantized               any                     bfloat16, where they are bfloat16 numbers; else as three terms,
//                                                       or (a linear that is alone in its launch) float32
//
// Codes of a width that no kernel has, or that experts in one launch do not share, are held in the next that one has:
// the same integers and grids, hence the same numbers, in more memory. A row that is multiplied as bfloat16 is the sum
// of ImageOptions::row_terms terms (layer_image.h). Integer codes of rows are the CPU's to the bit.
//
// Refused (Unimplemented, with the linear and the reason): binary activations, biases of experts, run-time transforms
// beyond transform_rows.h, and experts in one launch whose rows are rounded in different ways or go through different
// kinds of transforms.
#ifndef EAQ_DEVICE_DEVICE_LINEAR_H_
#define EAQ_DEVICE_DEVICE_LINEAR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/model/linear.h"
#include "eaq/model/linear_id.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/quantized_matrix.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/pack_weights.h"
#include "kernels/cuda/quantize_rows.h"

namespace eaq {

// Columns of a grid of weights that a kernel knows, at least.
inline constexpr int64_t kSmallestGroup = 32;

// How rows are prepared.
struct InputFormat {
  const OnlineTransform* online = nullptr;  // first; of the linear. Null: nothing
  int bits = 16;                            // 2 .. 8: rounded to grids; 16: not
  int64_t group = 0;                        // channels of a grid; 0: all of a row
  kernels::cuda::RowQuantizer quantizer;    // of the grids
};
// Of ACTIVATION after ONLINE (or null), rows of COLS channels that ID reads.
absl::StatusOr<InputFormat> FormatOf(const LinearId& id, const ActivationQuantizer& activation,
                                     const OnlineTransform* online, int64_t cols);
bool SameTransform(const InputFormat& a, const InputFormat& b);
bool SameRounding(const InputFormat& a, const InputFormat& b);

struct DeviceLinear {
  LinearId id;
  int64_t rows = 0, cols = 0;
  InputFormat input;
  std::vector<float> bias;                               // or empty
  std::optional<kernels::cuda::CanonicalWeights> codes;  // 2 .. 8 bits, groups of any size; or
  std::shared_ptr<const Matrix> weight;                  // the numbers themselves
};

// LINEAR outlives the result. CODES: those of a FakeQuantLinear (which holds dequantised weights alone), or null where
// it is not quantized; a PackedLinear has its own. They are used where they give the weights that LINEAR holds (rows
// that stand over it do not). InvalidArgument for codes of another shape.
absl::StatusOr<DeviceLinear> DescribeLinear(const LinearId& id, const Linear& linear, const QuantizedMatrix* codes);

// The rows ROWS of LINEAR alone.
DeviceLinear SelectRows(const DeviceLinear& linear, absl::Span<const int32_t> rows);

// How one launch takes linears of one shape, one an expert.
struct ProductFormat {
  enum class Kind { kQuantized, kBf16, kFloat32 };
  Kind kind = Kind::kFloat32;
  kernels::cuda::GemmFormat format = kernels::cuda::GemmFormat::kW8A8;  // kQuantized
  int width = 0;           // kQuantized: in which all codes are held; 0: each in its own
  int64_t group = 0;       // columns of a grid; 0: the row
  int planes = 1;          // launches whose results add up: of 4 bits each, or terms of bfloat16 weights
  bool integer = false;    // rows as codes; else as bfloat16 terms or, kFloat32, as they are
  bool by_expert = false;  // every expert transforms rows in its own way
  InputFormat input;       // of all, but for the numbers of transforms by expert
};

// TOGETHER: several linears may come to this launch (experts, or a shared one's), which has no float32 product.
absl::StatusOr<ProductFormat> ChooseProduct(absl::Span<const DeviceLinear> linears, bool together);

// CODES of LINEAR as FORMAT holds them, plane by plane, the high bits first.
std::vector<kernels::cuda::CanonicalWeights> HeldCodes(const kernels::cuda::CanonicalWeights& codes,
                                                       const ProductFormat& format);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_LINEAR_H_

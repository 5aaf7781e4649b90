// What a linear of the model is on a device: its weights as the kernels take them, and how the rows that it reads are
// prepared. Or why it cannot run there: nothing is computed in another way than the CPU's without a word.
//
//   on the CPU                            on the device
//   weights of 2, 3, 4 (5, 6) bits        codes of 2, 3, 4, 6 bits; rows as bfloat16             (WxA16)
//   ... and activations of 2 .. 8 bits    codes of 4 or 8 bits; rows as integer codes of 4 or 8  (W4A4, W4A8, W8A8)
//   weights that are not quantized        bfloat16, where they are bfloat16 numbers; else float32
//   the router, a shared expert's gate    float32, where not quantized
//
// Codes of a width that no kernel has are held in the next that one has (3 bits beside integer activations in 4): the
// same integers and grids, hence the same numbers, in more memory. Rounding rows to bfloat16 is the one step that the
// CPU, which multiplies float32 rows, does not have; integer codes are the CPU's to the bit.
//
// Refused (Unimplemented, with the linear and the reason): rotations, Hadamard blocks and permutations at run time,
// activations on a grid per group, groups of columns that are not consecutive or not of 32, 64 or 128 columns, binary
// weights, widths by group, cached rows, biases, weights above 6 bits beside 16-bit activations, and quantized
// activations beside weights that are not quantized.
#ifndef EAQ_DEVICE_DEVICE_LINEAR_H_
#define EAQ_DEVICE_DEVICE_LINEAR_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/model/linear.h"
#include "eaq/model/linear_id.h"
#include "eaq/quant/quantized_matrix.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/pack_weights.h"
#include "kernels/cuda/quantize_rows.h"

namespace eaq {

// How rows are prepared.
struct InputFormat {
  int bits = 16;                          // 2 .. 8: integer codes; 16: bfloat16; 32: as they are
  kernels::cuda::RowQuantizer quantizer;  // of integer codes
  std::vector<float> divisors;            // [cols], or empty: none
};
bool operator==(const InputFormat& a, const InputFormat& b);

struct DeviceLinear {
  LinearId id;
  int64_t rows = 0, cols = 0;
  InputFormat input;
  std::optional<kernels::cuda::CanonicalWeights> codes;  // of a width that kernels have; absent: not quantized
  const Matrix* weight = nullptr;                        // where there are no codes: of the model's linear
};

// LINEAR outlives the result. CODES: those of a FakeQuantLinear (which holds dequantised weights alone), or null where
// it is not quantized; a PackedLinear has its own. InvalidArgument when CODES do not give the weights that LINEAR
// holds.
absl::StatusOr<DeviceLinear> DescribeLinear(const LinearId& id, const Linear& linear, const QuantizedMatrix* codes);

// How one launch takes linears of one shape, one an expert.
struct ProductFormat {
  enum class Kind { kQuantized, kBf16, kFloat32 };
  Kind kind = Kind::kFloat32;
  kernels::cuda::GemmFormat format = kernels::cuda::GemmFormat::kW8A8;  // kQuantized
  int64_t group = 0;                                                    // columns of a grid; 0: the row
  InputFormat input;
};

// Unimplemented where LINEARS, of one shape, cannot run in one launch: it names two that differ in how their rows are
// prepared, or widths that no kernel takes together.
absl::StatusOr<ProductFormat> ChooseProduct(absl::Span<const DeviceLinear> linears);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_LINEAR_H_

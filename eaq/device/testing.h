// Layers in the formats that devices have kernels for, for tests: as the CPU runs them, and with rows rounded where a
// device rounds them.
#ifndef EAQ_DEVICE_TESTING_H_
#define EAQ_DEVICE_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/device/device_runner.h"
#include "eaq/device/layer_image.h"
#include "eaq/model/layer.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"

namespace eaq {

// OLMoE's form: hidden states of 64, 2 heads of 32 on one of keys, 8 experts of width 40.
ModelConfig SmallConfig();

// This program's device, with red zones and a wait after every kernel.
absl::StatusOr<std::unique_ptr<kernels::Backend>> CheckedBackend();

struct DeviceFormat {
  std::string name;        // "W4A16 g32"
  GridSpec weights;        // bits 16: as they are
  GridSpec activations;    // bits 16: not quantized
  std::vector<int> mixed;  // widths that experts take in turn instead of weights.bits; empty: none
};

// bf16, W8A8, W4A8, W4A4, W4A16, W3A16, W2A16 and a mixed plan, on grids of different kinds.
std::vector<DeviceFormat> DeviceFormats();

// The layer with its linears but the router rounded to nearest in FORMAT, behind PackedLinears. BF16_ROWS: rows that
// are not quantized are rounded to bfloat16 before a product, as a device does that takes them as one term.
absl::StatusOr<std::unique_ptr<DecoderLayer>> LayerInFormat(const ModelConfig& config, const LayerParams& params,
                                                            const DeviceFormat& format, bool bf16_rows);

// ||got - want|| / ||want|| of N numbers.
double RelativeDistance(const float* got, const float* want, int64_t n);

// The grids that two machines found for the same weights, by a search or not.
//
// They are equal but for ties of a search: two candidates whose errors, summed here in double precision by definition,
// are within 6e-6 of each other. Each machine takes the smallest of the sums that it sees: the device's are off by at
// most 2e-6 (kernels/cuda/weight_quant.h), the CPU's by 3e-6 (0.9e-6 of its power, 32 float32 additions in a lane).
struct GridAgreement {
  int64_t grids = 0;
  int64_t ties = 0;
  std::vector<std::string> unexplained;
};
GridAgreement CompareGrids(ConstMatrixView w, const QuantizedMatrix& cpu, const QuantizedMatrix& device,
                           const GridRange& range);

// One layer on a device against the CPU's with the same roundings, both from the same hidden states.
//
// The two differ by float32's rounding alone, at most kLayerNoise of a row, until a number that is rounded to bfloat16
// or to a code (or two experts' scores) lies so near a tie that this noise decides. Such ties are counted; each must be
// one: the numbers that were rounded differ by noise alone, and the results by one step. A tie in the input of q, k or
// v reaches the rows from its own on (by attention), any other its own row; all other rows are held to kLayerNoise.
struct LayerAgreement {
  int64_t rows = 0;         // compared
  int64_t unaffected = 0;   // by any tie
  double worst = 0;         // ||device - cpu|| / ||cpu|| among these
  int64_t ties = 0;         // numbers rounded to the other side
  int64_t choice_ties = 0;  // rows that chose other experts, or in another order
  std::vector<std::string> unexplained;
};

// Six products follow each other (q k v, scores, values, o, gate or up, down), of at most 128 terms with some 8 more
// roundings: 136 * 2^-24 of the magnitudes each.
inline constexpr double kLayerNoise = 6 * 136 * 0x1p-24;

// CPU: the layer that rounds where the device does. IMAGE is its layer's; RUNNER observes inputs. HIDDEN
// holds sequences of LENGTHS and is left alone.
absl::StatusOr<LayerAgreement> CompareLayer(const DecoderLayer& cpu, const LayerImage& image, ConstMatrixView hidden,
                                            absl::Span<const int64_t> lengths, DeviceRunner& runner);

}  // namespace eaq

#endif  // EAQ_DEVICE_TESTING_H_

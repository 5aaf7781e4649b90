// One layer on a device over many windows, for quantization: what calibration needs of a layer and no more.
#ifndef EAQ_DEVICE_DEVICE_LAYER_H_
#define EAQ_DEVICE_DEVICE_LAYER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/model/layer.h"
#include "eaq/model/observer.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"

namespace eaq {

// QuantizeOps::ForwardLayer on BACKEND, which has a device. Hidden states, expert choices and what observers see are
// the CPU's up to float32's noise and, beside 16-bit activations, 16 bits of every row (device_runner.h). Unimplemented
// for layers that do not run on a device (layer_image.h). Windows go through together up to MAX_ROWS tokens; the
// numbers do not depend on it.
absl::Status DeviceForward(kernels::Backend& backend, const DecoderLayer& layer, const CodesOf& codes,
                           absl::Span<Matrix> hidden, absl::Span<LayerObserver* const> observers,
                           int64_t max_rows = 2048);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_LAYER_H_

// Quantization on a device: layers over calibration windows (device_layer.h), second moments and GPTQ's columns
// (device_gptq.h), grids and rounding to nearest (device_nearest.h), dense products (device_product.h).
//
// Where numbers differ from the CPU's: layers as device_layer.h says, second moments and products by float32's noise,
// grids of searches where two
// candidates are as good (device_nearest.h), codes where a weight lies at a tie (device_gptq.h). What the kernels
// cannot say (binary weights, widths by group, GPTQ's groups found on the way, salient weights) is done on the CPU, and
// the result's note says so.
#ifndef EAQ_DEVICE_DEVICE_OPS_H_
#define EAQ_DEVICE_DEVICE_OPS_H_

#include <memory>

#include "eaq/quant/quantize_ops.h"
#include "kernels/backend.h"

namespace eaq {

// BACKEND has a device, and outlives the result; nothing else may use it at the same time.
std::unique_ptr<QuantizeOps> DeviceOps(kernels::Backend& backend);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_OPS_H_

// Quantization on a device: second moments and GPTQ's columns by its kernels (device_gptq.h), all else on the CPU.
//
// Second moments differ from the CPU's by float32's noise, so codes may where a weight lies at a tie (device_gptq.h).
// What the kernels cannot say (groups found on the way, widths by group, binary weights) is rounded on the CPU, and the
// result's note says so.
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

// The backends whose memory is the host's and whose ops are done when a call returns: kCpu (kernels/cpu) and kReference
// (kernels/reference, in double precision, rounded once). They have the ops that are functions of kernels/backend.h;
// quantized products on the CPU are eaq/quant's, from dequantised weights.
#ifndef KERNELS_DEVICE_HOST_BACKEND_H_
#define KERNELS_DEVICE_HOST_BACKEND_H_

#include <memory>

#include "kernels/backend.h"

namespace eaq::kernels {

std::unique_ptr<Backend> MakeHostBackend(BackendKind kind);

}  // namespace eaq::kernels

#endif  // KERNELS_DEVICE_HOST_BACKEND_H_

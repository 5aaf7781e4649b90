// Opens a backend by its kind.
//
//   std::unique_ptr<Backend> backend;
//   const BackendStatus status = OpenBackend(BackendKind::kEmulation, &backend);
//
// The emulated kernels and the GPU's own are the same functions, so a program has one of them: the emulated ones, or,
// built with --config=gpu, those of the GPU. kReference and kCpu are always there. What is not there is an error that
// says why and what to do; nothing ever falls back to something else.
#ifndef KERNELS_DEVICE_OPEN_H_
#define KERNELS_DEVICE_OPEN_H_

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/device/device.h"

namespace eaq::kernels {

// False if NAME ("cpu", "emulation", ...) is no backend's.
bool ParseBackend(const std::string& name, BackendKind* kind);

// kEmulation or kCuda: the machine whose kernels this program has.
BackendKind LinkedDevice();

// The machine of LinkedDevice(). Fails where there is none: no driver, no GPU, one that the kernels were not built for.
BackendStatus OpenDevice(std::unique_ptr<Device>* device);

// KIND's ops; those of a device on a device opened anew.
BackendStatus OpenBackend(BackendKind kind, std::unique_ptr<Backend>* backend);

// The ops of kernels/cuda on DEVICE.
std::unique_ptr<Backend> MakeDeviceBackend(std::unique_ptr<Device> device);

}  // namespace eaq::kernels

#endif  // KERNELS_DEVICE_OPEN_H_

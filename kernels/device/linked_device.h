// What the one device that a program is linked with gives to open.cc. Internal.
#ifndef KERNELS_DEVICE_LINKED_DEVICE_H_
#define KERNELS_DEVICE_LINKED_DEVICE_H_

#include <memory>
#include <string>

#include "kernels/device/device.h"

namespace eaq::kernels {

BackendStatus OpenLinkedDevice(std::unique_ptr<Device>* device);
// Why KIND, which is not LinkedDevice(), is not in this program, and what to do.
std::string WhyNotLinked(BackendKind kind);

}  // namespace eaq::kernels

#endif  // KERNELS_DEVICE_LINKED_DEVICE_H_

#include "kernels/device/open.h"

#include <cstdlib>
#include <cstring>

#include "kernels/device/host_backend.h"
#include "kernels/device/linked_device.h"

namespace eaq::kernels {
namespace {

constexpr BackendKind kKinds[] = {BackendKind::kReference, BackendKind::kCpu, BackendKind::kEmulation,
                                  BackendKind::kCuda};

bool ChecksByDefault() {
  const char* text = std::getenv("EAQ_DEVICE_CHECKS");
  if (text != nullptr && *text != 0) return std::strcmp(text, "0") != 0;
#if defined(NDEBUG)
  return false;
#else
  return true;
#endif
}

}  // namespace

bool ParseBackend(const std::string& name, BackendKind* kind) {
  for (const BackendKind each : kKinds) {
    if (name != Name(each)) continue;
    *kind = each;
    return true;
  }
  return false;
}

BackendStatus OpenDevice(std::unique_ptr<Device>* device) {
  const BackendStatus status = OpenLinkedDevice(device);
  if (!status.ok()) return BackendStatus::Failure(std::string(Name(LinkedDevice())) + ": " + status.text());
  (*device)->set_checked(ChecksByDefault());
  return {};
}

BackendStatus OpenBackend(BackendKind kind, std::unique_ptr<Backend>* backend) {
  if (kind == BackendKind::kReference || kind == BackendKind::kCpu) {
    *backend = MakeHostBackend(kind);
    return {};
  }
  if (kind != LinkedDevice()) {
    return BackendStatus::Failure(std::string("no backend \"") + Name(kind) + "\" here: " + WhyNotLinked(kind));
  }
  std::unique_ptr<Device> device;
  const BackendStatus status = OpenDevice(&device);
  if (!status.ok()) return status;
  *backend = MakeDeviceBackend(std::move(device));
  return {};
}

}  // namespace eaq::kernels

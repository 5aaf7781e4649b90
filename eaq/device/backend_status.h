// kernels' way to say what went wrong, in the house's.
#ifndef EAQ_DEVICE_BACKEND_STATUS_H_
#define EAQ_DEVICE_BACKEND_STATUS_H_

#include "absl/status/status.h"
#include "kernels/backend.h"

namespace eaq {

// OK, or Internal with the device's words.
inline absl::Status AsStatus(const kernels::BackendStatus& status) {
  return status.ok() ? absl::OkStatus() : absl::InternalError(status.text());
}

}  // namespace eaq

#endif  // EAQ_DEVICE_BACKEND_STATUS_H_

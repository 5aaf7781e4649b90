// A machine that runs the kernels of kernels/cuda: its memory, its streams, its limits. Two implementations behind one
// interface: emulated_device.cc (the host's memory, emulated CUDA threads) and cuda_device.cc (the CUDA runtime). A
// program is linked with one of them; open.h says which and opens it.
//
// Every call is checked and says what went wrong in words. One thread of the host uses a device at a time.
#ifndef KERNELS_DEVICE_DEVICE_H_
#define KERNELS_DEVICE_DEVICE_H_

#include <cstdint>
#include <string>

#include "kernels/backend.h"

namespace eaq::kernels {

struct DeviceProperties {
  std::string name;          // "NVIDIA H100 80GB HBM3", "emulated sm_86"
  int architecture = 0;      // 86: compute capability 8.6
  int multiprocessors = 1;   // what grids are sized for
  int64_t memory_bytes = 0;  // of the device
  int64_t shared_bytes = 0;  // of a multiprocessor
  int64_t free_bytes = 0;    // of memory_bytes, when it was opened
};

class Device {
 public:
  // Uploads that can be on their way at once.
  static constexpr int kUploads = 2;

  virtual ~Device() = default;
  virtual BackendKind kind() const = 0;
  const DeviceProperties& properties() const { return properties_; }
  // Whether arenas put red zones round what they hand out and every op waits for its kernel, so that an error comes at
  // the call that made it. Builds without NDEBUG, or EAQ_DEVICE_CHECKS=1 in the environment.
  bool checked() const { return checked_; }
  void set_checked(bool checked) { checked_ = checked; }

  // BYTES of device memory at a multiple of 256.
  virtual BackendStatus Allocate(int64_t bytes, void** memory) = 0;
  virtual void Free(void* memory) = 0;
  // Page-locked memory of the host: what uploads come from.
  virtual BackendStatus AllocatePinned(int64_t bytes, void** memory) = 0;
  virtual void FreePinned(void* memory) = 0;

  // Kernels run on this stream in order.
  virtual void* stream() const = 0;
  // Copies from and to any memory of the host, through pinned staging; behind all kernels launched before, and done
  // when the call returns.
  virtual BackendStatus CopyIn(void* to, const void* from, int64_t bytes) = 0;
  virtual BackendStatus CopyOut(void* to, const void* from, int64_t bytes) = 0;
  virtual BackendStatus Fill(void* to, int byte, int64_t bytes) = 0;
  virtual BackendStatus Synchronize() = 0;

  // Upload number SLOT, 0 .. kUploads - 1, beside the kernels: it starts when the kernels launched so far are done
  // (they may be reading what lies at TO) and runs while those launched from now on do. FROM: pinned, not to be written
  // before FinishUpload. The emulation lets it land as late as it may (at UseUpload or FinishUpload) and leaves NaN
  // until then, so that a forgotten wait is seen.
  virtual BackendStatus StartUpload(int slot, void* to, const void* from, int64_t bytes) = 0;
  // Kernels launched from now on run behind the upload.
  virtual BackendStatus UseUpload(int slot) = 0;
  // Waits on the host: FROM may be written again.
  virtual BackendStatus FinishUpload(int slot) = 0;

  // What a wrapper of kernels/cuda returned, in words with OP in front ("grouped_gemm W4A8, 32 slots, ..."); where a
  // launch failed, its configuration. Failures of earlier kernels that show only now are named as such.
  virtual BackendStatus Check(int code, const std::string& op) = 0;
  // Whether a launch was refused since the last Check, which will say so.
  virtual bool refused() const { return false; }

 protected:
  DeviceProperties properties_;
  bool checked_ = false;
};

}  // namespace eaq::kernels

#endif  // KERNELS_DEVICE_DEVICE_H_

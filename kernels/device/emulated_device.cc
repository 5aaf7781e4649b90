// Device for kernels on emulated CUDA threads: device memory is the host's, streams do nothing, uploads land as late as
// they may.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/architecture.h"
#include "kernels/device/device.h"
#include "kernels/device/linked_device.h"
#include "kernels/emulation/options.h"

namespace eaq::kernels {
namespace {

// Grids are sized for a device; few multiprocessors keep blocks, which the emulator runs one after the other, few.
constexpr int kMultiprocessors = 4;

class EmulatedDevice : public Device {
 public:
  EmulatedDevice() {
    const int architecture = emulation::CurrentOptions().architecture;
    properties_.name = "emulated sm_" + std::to_string(architecture);
    properties_.architecture = architecture;
    properties_.multiprocessors = kMultiprocessors;
    properties_.memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    properties_.free_bytes = static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    properties_.shared_bytes = FindArchitecture(architecture)->shared_bytes;
  }

  BackendKind kind() const override { return BackendKind::kEmulation; }

  BackendStatus Allocate(int64_t bytes, void** memory) override {
    *memory = nullptr;
    if (bytes < 0 || posix_memalign(memory, 256, bytes == 0 ? 1 : static_cast<size_t>(bytes)) != 0) {
      return BackendStatus::Failure("no " + std::to_string(bytes) + " bytes of memory for the emulated device");
    }
    return {};
  }
  void Free(void* memory) override { std::free(memory); }
  BackendStatus AllocatePinned(int64_t bytes, void** memory) override { return Allocate(bytes, memory); }
  void FreePinned(void* memory) override { std::free(memory); }

  void* stream() const override { return nullptr; }
  BackendStatus CopyIn(void* to, const void* from, int64_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
    return {};
  }
  BackendStatus CopyOut(void* to, const void* from, int64_t bytes) override { return CopyIn(to, from, bytes); }
  BackendStatus Fill(void* to, int byte, int64_t bytes) override {
    if (bytes > 0) std::memset(to, byte, static_cast<size_t>(bytes));
    return {};
  }
  BackendStatus Synchronize() override { return {}; }

  BackendStatus StartUpload(int slot, void* to, const void* from, int64_t bytes) override {
    Upload& upload = uploads_[slot];
    if (upload.pending) return BackendStatus::Failure("upload " + std::to_string(slot) + " is still on its way");
    upload = {to, from, bytes, true};
    return Fill(to, 0xff, bytes);
  }
  BackendStatus UseUpload(int slot) override {
    Upload& upload = uploads_[slot];
    if (!upload.pending) return {};
    upload.pending = false;
    return CopyIn(upload.to, upload.from, upload.bytes);
  }
  BackendStatus FinishUpload(int slot) override { return UseUpload(slot); }

  BackendStatus Check(int code, const std::string& op) override {
    if (code == 0) return {};
    return BackendStatus::Failure(op + " on " + properties_.name + ": error " + std::to_string(code) +
                                  (code == 1 ? ", outside the limits that the kernel's header states" : ""));
  }

 private:
  struct Upload {
    void* to = nullptr;
    const void* from = nullptr;
    int64_t bytes = 0;
    bool pending = false;
  };
  Upload uploads_[kUploads];
};

}  // namespace

BackendKind LinkedDevice() { return BackendKind::kEmulation; }

std::string WhyNotLinked(BackendKind) {
#if EAQ_WITH_TOOLKIT
  return "this program was built with the emulated kernels; build it with --config=gpu";
#else
  return "this program was built without a CUDA toolkit (no nvcc under CUDA_HOME, /usr/local/cuda or /opt/cuda, or "
         "EAQ_CUDA=0); install one and build with --config=gpu";
#endif
}

BackendStatus OpenLinkedDevice(std::unique_ptr<Device>* device) {
  *device = std::make_unique<EmulatedDevice>();
  return {};
}

}  // namespace eaq::kernels

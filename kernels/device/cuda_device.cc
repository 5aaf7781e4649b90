// Device on the CUDA runtime.
//
// Kernels run on a stream that orders itself with the legacy default stream (which tests use), uploads on one that does
// not. Launches come through __cudaLaunchKernel, the entry of the runtime that nvcc's stubs call; the program is linked
// with --wrap for it, so that a launch beyond the device's limits is refused here before it is made, and an error can
// name the configuration of the last one.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/device/device.h"
#include "kernels/device/linked_device.h"

namespace eaq::kernels {
namespace {

constexpr int64_t kStagingBytes = int64_t{4} << 20;

struct Launches {
  cudaDeviceProp limits = {};
  dim3 grid = {0, 0, 0}, block = {0, 0, 0};
  size_t shared_bytes = 0;
  std::string refused;  // why, of the first since the last Check
};
thread_local Launches launches;

std::string ToString(const dim3& d) {
  return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}
std::string LastLaunch() {
  return "grid " + ToString(launches.grid) + ", block " + ToString(launches.block) + ", " +
         std::to_string(launches.shared_bytes) + " bytes of dynamic shared memory";
}

// Why the device cannot run this; empty if it can.
std::string Refusal(const cudaDeviceProp& limits, const dim3& grid, const dim3& block, size_t shared_bytes) {
  const auto beyond = [](const dim3& d, const int(&most)[3]) {
    return d.x > static_cast<unsigned>(most[0]) || d.y > static_cast<unsigned>(most[1]) ||
           d.z > static_cast<unsigned>(most[2]);
  };
  const auto empty = [](const dim3& d) { return d.x == 0 || d.y == 0 || d.z == 0; };
  if (empty(grid) || beyond(grid, limits.maxGridSize)) return "a grid that the device does not have";
  if (empty(block) || beyond(block, limits.maxThreadsDim) ||
      uint64_t{block.x} * block.y * block.z > static_cast<uint64_t>(limits.maxThreadsPerBlock)) {
    return "a block of more than " + std::to_string(limits.maxThreadsPerBlock) + " threads, or of none";
  }
  if (shared_bytes > limits.sharedMemPerBlockOptin) {
    return "more shared memory than the " + std::to_string(limits.sharedMemPerBlockOptin) + " bytes of a block";
  }
  return "";
}

class CudaDevice : public Device {
 public:
  ~CudaDevice() override {
    for (void* staging : staging_) FreePinned(staging);
    for (cudaEvent_t event : {computed_, staged_[0], staged_[1], uploaded_[0], uploaded_[1]}) {
      if (event != nullptr) cudaEventDestroy(event);
    }
    if (uploads_ != nullptr) cudaStreamDestroy(uploads_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  BackendStatus Open() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
      return BackendStatus::Failure(std::string("no CUDA device: ") +
                                    (error != cudaSuccess ? cudaGetErrorString(error) : "the driver knows none"));
    }
    cudaDeviceProp& limits = launches.limits;
    BackendStatus status = Runtime(cudaGetDeviceProperties(&limits, 0), "cudaGetDeviceProperties");
    if (!status.ok()) return status;
    properties_.name = limits.name;
    properties_.architecture = limits.major * 10 + limits.minor;
    properties_.multiprocessors = limits.multiProcessorCount;
    properties_.memory_bytes = static_cast<int64_t>(limits.totalGlobalMem);
    properties_.shared_bytes = static_cast<int64_t>(limits.sharedMemPerMultiprocessor);
    if (properties_.architecture < 80) {
      return BackendStatus::Failure(properties_.name + " has compute capability " + std::to_string(limits.major) + "." +
                                    std::to_string(limits.minor) + "; the kernels need 8.0 or later");
    }
    size_t free = 0, total = 0;
    status = Runtime(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    properties_.free_bytes = static_cast<int64_t>(free);
    if (status.ok()) status = Runtime(cudaStreamCreate(&stream_), "cudaStreamCreate");
    if (status.ok()) {
      status = Runtime(cudaStreamCreateWithFlags(&uploads_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    }
    for (cudaEvent_t* event : {&computed_, &staged_[0], &staged_[1], &uploaded_[0], &uploaded_[1]}) {
      if (status.ok()) {
        status = Runtime(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
      }
    }
    for (void*& staging : staging_) {
      if (status.ok()) status = AllocatePinned(kStagingBytes, &staging);
    }
    return status;
  }

  BackendKind kind() const override { return BackendKind::kCuda; }

  BackendStatus Allocate(int64_t bytes, void** memory) override {
    *memory = nullptr;
    return Runtime(cudaMalloc(memory, static_cast<size_t>(std::max<int64_t>(bytes, 1))),
                   "cudaMalloc of " + std::to_string(bytes) + " bytes");
  }
  void Free(void* memory) override { cudaFree(memory); }
  BackendStatus AllocatePinned(int64_t bytes, void** memory) override {
    *memory = nullptr;
    return Runtime(cudaMallocHost(memory, static_cast<size_t>(std::max<int64_t>(bytes, 1))),
                   "cudaMallocHost of " + std::to_string(bytes) + " bytes");
  }
  void FreePinned(void* memory) override {
    if (memory != nullptr) cudaFreeHost(memory);
  }

  void* stream() const override { return stream_; }

  BackendStatus CopyIn(void* to, const void* from, int64_t bytes) override {
    BackendStatus status;
    int64_t done = 0;
    for (int chunk = 0; done < bytes && status.ok(); ++chunk) {
      const int s = chunk % 2;
      const int64_t n = std::min(kStagingBytes, bytes - done);
      if (chunk >= 2) status = Runtime(cudaEventSynchronize(staged_[s]), "CopyIn: cudaEventSynchronize");
      if (!status.ok()) break;
      std::memcpy(staging_[s], static_cast<const char*>(from) + done, static_cast<size_t>(n));
      status = Runtime(cudaMemcpyAsync(static_cast<char*>(to) + done, staging_[s], static_cast<size_t>(n),
                                       cudaMemcpyHostToDevice, stream_),
                       "CopyIn: cudaMemcpyAsync of " + std::to_string(n) + " bytes");
      if (status.ok()) status = Runtime(cudaEventRecord(staged_[s], stream_), "CopyIn: cudaEventRecord");
      done += n;
    }
    return status.ok() ? Synchronize() : status;
  }

  BackendStatus CopyOut(void* to, const void* from, int64_t bytes) override {
    BackendStatus status;
    for (int64_t done = 0; done < bytes && status.ok(); done += kStagingBytes) {
      const int64_t n = std::min(kStagingBytes, bytes - done);
      status = Runtime(cudaMemcpyAsync(staging_[0], static_cast<const char*>(from) + done, static_cast<size_t>(n),
                                       cudaMemcpyDeviceToHost, stream_),
                       "CopyOut: cudaMemcpyAsync of " + std::to_string(n) + " bytes");
      if (status.ok()) status = Synchronize();
      if (status.ok()) std::memcpy(static_cast<char*>(to) + done, staging_[0], static_cast<size_t>(n));
    }
    return status;
  }

  BackendStatus Fill(void* to, int byte, int64_t bytes) override {
    if (bytes <= 0) return {};
    return Runtime(cudaMemsetAsync(to, byte, static_cast<size_t>(bytes), stream_), "cudaMemsetAsync");
  }
  BackendStatus Synchronize() override { return Runtime(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

  BackendStatus StartUpload(int slot, void* to, const void* from, int64_t bytes) override {
    BackendStatus status = Runtime(cudaEventRecord(computed_, stream_), "StartUpload: cudaEventRecord");
    if (status.ok()) status = Runtime(cudaStreamWaitEvent(uploads_, computed_, 0), "StartUpload: cudaStreamWaitEvent");
    if (status.ok()) {
      status = Runtime(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, uploads_),
                       "StartUpload: cudaMemcpyAsync of " + std::to_string(bytes) + " bytes");
    }
    if (status.ok()) status = Runtime(cudaEventRecord(uploaded_[slot], uploads_), "StartUpload: cudaEventRecord");
    return status;
  }
  BackendStatus UseUpload(int slot) override {
    return Runtime(cudaStreamWaitEvent(stream_, uploaded_[slot], 0), "UseUpload: cudaStreamWaitEvent");
  }
  BackendStatus FinishUpload(int slot) override {
    return Runtime(cudaEventSynchronize(uploaded_[slot]), "FinishUpload: cudaEventSynchronize");
  }

  bool refused() const override { return !launches.refused.empty(); }
  BackendStatus Check(int code, const std::string& op) override {
    if (!launches.refused.empty()) {
      BackendStatus refused =
          BackendStatus::Failure(op + " on " + properties_.name + ": " + launches.refused + " (" + LastLaunch() + ")");
      launches.refused.clear();
      return refused;
    }
    if (code != 0) {
      return BackendStatus::Failure(
          op + " on " + properties_.name + ": " + cudaGetErrorString(static_cast<cudaError_t>(code)) +
          (code == cudaErrorInvalidValue ? " (perhaps outside the limits that the kernel's header states)" : "") +
          "; last launch: " + LastLaunch());
    }
    if (!checked_) return {};
    const cudaError_t error = cudaStreamSynchronize(stream_);
    if (error == cudaSuccess) return {};
    return BackendStatus::Failure(op + " on " + properties_.name + ", while it ran: " + cudaGetErrorString(error) +
                                  "; " + LastLaunch());
  }

 private:
  static BackendStatus Runtime(cudaError_t error, const std::string& call) {
    if (error == cudaSuccess) return {};
    return BackendStatus::Failure(call + ": " + cudaGetErrorString(error) +
                                  " (or left by an earlier kernel; last launch: " + LastLaunch() +
                                  "; EAQ_DEVICE_CHECKS=1 finds the kernel)");
  }

  cudaStream_t stream_ = nullptr, uploads_ = nullptr;
  cudaEvent_t computed_ = nullptr, staged_[2] = {}, uploaded_[kUploads] = {};
  void* staging_[2] = {};
};

}  // namespace

// Called by the wrapped entry below. False: refused.
bool AllowLaunch(const dim3& grid, const dim3& block, size_t shared_bytes) {
  launches.grid = grid;
  launches.block = block;
  launches.shared_bytes = shared_bytes;
  if (launches.limits.maxThreadsPerBlock == 0) return true;  // no Device was opened on this thread
  const std::string refusal = Refusal(launches.limits, grid, block, shared_bytes);
  if (!refusal.empty() && launches.refused.empty()) launches.refused = refusal;
  return refusal.empty();
}

BackendKind LinkedDevice() { return BackendKind::kCuda; }

std::string WhyNotLinked(BackendKind) {
  return "this program was built with the GPU's own kernels; build it without --config=gpu";
}

BackendStatus OpenLinkedDevice(std::unique_ptr<Device>* device) {
  auto opened = std::make_unique<CudaDevice>();
  const BackendStatus status = opened->Open();
  if (status.ok()) *device = std::move(opened);
  return status;
}

}  // namespace eaq::kernels

extern "C" cudaError_t __real___cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                                                 size_t shared_bytes, cudaStream_t stream);
extern "C" cudaError_t __wrap___cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                                                 size_t shared_bytes, cudaStream_t stream) {
  if (!eaq::kernels::AllowLaunch(grid, block, shared_bytes)) return cudaErrorInvalidConfiguration;
  return __real___cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}

// Arrays that kernels work on: on a GPU with EAQ_SELFTEST_CUDA, in the host's memory without it (emulation). Both
// start as 0xff bytes (NaN in any float, -1 in any integer), and both have a red zone of 256 bytes on either side that
// is looked at when the array is read back and when it dies; a broken one fails the running check. Under
// AddressSanitizer the emulated array is a block of exactly its size instead, so that a read beyond it is caught as
// well.
#ifndef KERNELS_SELFTEST_DEVICE_MEMORY_H_
#define KERNELS_SELFTEST_DEVICE_MEMORY_H_

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernels/selftest/check.h"

#if defined(EAQ_SELFTEST_CUDA)
#include <cuda_runtime_api.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define EAQ_SELFTEST_EXACT_ARRAYS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EAQ_SELFTEST_EXACT_ARRAYS 1
#endif
#endif

namespace eaq::kernels::selftest {

// An error of the CUDA runtime outside the kernels (no memory, an earlier kernel that crashed) fails the check.
inline void CheckCuda(int error, const char* what) {
  if (error == 0 || RunningChecker() == nullptr) return;
#if defined(EAQ_SELFTEST_CUDA)
  RunningChecker()->Fail(std::string(what) + ": " + cudaGetErrorString(static_cast<cudaError_t>(error)));
#else
  RunningChecker()->Fail(std::string(what) + ": error " + std::to_string(error));
#endif
}

// Waits for all kernels and reports what they left behind.
inline void Synchronize([[maybe_unused]] const char* what = "synchronize") {
#if defined(EAQ_SELFTEST_CUDA)
  CheckCuda(cudaDeviceSynchronize(), what);
#endif
}

template <typename T>
class DeviceArray {
 public:
  // COUNT elements of poison; NAME is for messages.
  DeviceArray(std::string name, int64_t count) : name_(std::move(name)), count_(count) { Allocate(); }
  DeviceArray(std::string name, const std::vector<T>& values) : DeviceArray(std::move(name), Size(values)) {
    Upload(values);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() {
    CheckRedZones();
#if defined(EAQ_SELFTEST_CUDA)
    CheckCuda(cudaFree(block_), "cudaFree");
#else
    std::free(block_);
#endif
  }

  T* data() { return reinterpret_cast<T*>(block_ + kZone); }
  const T* data() const { return reinterpret_cast<const T*>(block_ + kZone); }
  int64_t size() const { return count_; }

  void Upload(const std::vector<T>& values) {
    if (Size(values) != count_) return Report("Upload of another number of elements");
    Copy(block_ + kZone, values.data(), bytes());
  }
  std::vector<T> Download() const {
    std::vector<T> values(count_);
    Copy(values.data(), block_ + kZone, bytes());
    CheckRedZones();
    return values;
  }
  // Poison again, to see what a second launch leaves unwritten.
  void Poison() { Fill(block_ + kZone, kPoison, bytes()); }

 private:
#if defined(EAQ_SELFTEST_EXACT_ARRAYS) && !defined(EAQ_SELFTEST_CUDA)
  static constexpr int64_t kZone = 0;
#else
  static constexpr int64_t kZone = 256;  // keeps cudaMalloc's alignment
#endif
  static constexpr int kPoison = 0xff, kZoneByte = 0xa5;

  static int64_t Size(const std::vector<T>& values) { return static_cast<int64_t>(values.size()); }
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }

  void Allocate() {
    const size_t all = bytes() + 2 * kZone;
#if defined(EAQ_SELFTEST_CUDA)
    void* block = nullptr;
    CheckCuda(cudaMalloc(&block, all), "cudaMalloc");
#else
    void* block = nullptr;
    if (posix_memalign(&block, 256, all) != 0) std::abort();
#endif
    block_ = static_cast<char*>(block);
    Fill(block_, kZoneByte, kZone);
    Poison();
    Fill(block_ + kZone + bytes(), kZoneByte, kZone);
  }
  static void Fill(void* to, int byte, int64_t count) {
    if (count == 0) return;
#if defined(EAQ_SELFTEST_CUDA)
    CheckCuda(cudaMemset(to, byte, count), "cudaMemset");
#else
    std::memset(to, byte, count);
#endif
  }
  static void Copy(void* to, const void* from, int64_t count) {
    if (count == 0) return;
#if defined(EAQ_SELFTEST_CUDA)
    CheckCuda(cudaMemcpy(to, from, count, cudaMemcpyDefault), "cudaMemcpy");
#else
    std::memcpy(to, from, count);
#endif
  }
  void CheckRedZones() const {
    std::vector<unsigned char> zone(kZone);
    for (const char* at : {block_, block_ + kZone + bytes()}) {
      Copy(zone.data(), at, kZone);
      for (const unsigned char byte : zone) {
        if (byte != kZoneByte) return Report(at == block_ ? "written before its start" : "written beyond its end");
      }
    }
  }
  void Report(const char* what) const {
    if (RunningChecker() != nullptr) RunningChecker()->Fail("device array " + name_ + ": " + what);
  }

  std::string name_;
  int64_t count_;
  char* block_ = nullptr;
};

}  // namespace eaq::kernels::selftest

#endif  // KERNELS_SELFTEST_DEVICE_MEMORY_H_

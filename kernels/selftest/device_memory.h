// Arrays that kernels work on, each in a checked arena of its own (kernels/device/arena.h) on the device that the
// program is linked with: the GPU under tools/gpu_check.sh, the emulated one elsewhere. They start as 0xff bytes (NaN
// in any float, -1 in any integer), and have a red zone of 256 bytes on either side that is looked at when the array is
// read back and when it dies; a broken one, like any error of the device, fails the running check.
#ifndef KERNELS_SELFTEST_DEVICE_MEMORY_H_
#define KERNELS_SELFTEST_DEVICE_MEMORY_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/device/arena.h"
#include "kernels/device/device.h"
#include "kernels/device/linked_device.h"
#include "kernels/selftest/check.h"

namespace eaq::kernels::selftest {

inline void Expect(const BackendStatus& status, const std::string& what) {
  if (!status.ok() && RunningChecker() != nullptr) RunningChecker()->Fail(what + ": " + status.text());
}

// The process's; the end of the program where there is none.
inline Device& TestDevice() {
  static Device* const device = [] {
    std::unique_ptr<Device> opened;
    if (!OpenLinkedDevice(&opened).ok()) std::abort();  // gpu_check.cc has said that there is no device
    return opened.release();
  }();
  return *device;
}

// Waits for all kernels and reports what they left behind.
inline void Synchronize(const char* what = "synchronize") { Expect(TestDevice().Synchronize(), what); }

template <typename T>
class DeviceArray {
 public:
  // COUNT elements of poison; NAME is for messages.
  DeviceArray(std::string name, int64_t count) : name_(std::move(name)), count_(count) {
    Expect(arena_.Create(&TestDevice(), name_, Arena::Footprint(bytes(), true), /*checked=*/true), name_);
    data_ = arena_.Take<T>("the array", count);
    if (data_ == nullptr) std::abort();  // nothing can go on without memory
  }
  DeviceArray(std::string name, const std::vector<T>& values) : DeviceArray(std::move(name), Size(values)) {
    Upload(values);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { Expect(arena_.Check(), name_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return count_; }

  void Upload(const std::vector<T>& values) {
    if (Size(values) != count_) {
      return Expect(BackendStatus::Failure("Upload of another number of elements"), name_);
    }
    Expect(TestDevice().CopyIn(data_, values.data(), bytes()), name_);
  }
  std::vector<T> Download() const {
    std::vector<T> values(count_);
    Expect(TestDevice().CopyOut(values.data(), data_, bytes()), name_);
    Expect(arena_.Check(), name_);
    return values;
  }
  // Poison again, to see what a second launch leaves unwritten.
  void Poison() { Expect(TestDevice().Fill(data_, Arena::kPoison, bytes()), name_); }

 private:
  static int64_t Size(const std::vector<T>& values) { return static_cast<int64_t>(values.size()); }
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }

  std::string name_;
  int64_t count_;
  mutable Arena arena_;
  T* data_ = nullptr;
};

}  // namespace eaq::kernels::selftest

#endif  // KERNELS_SELFTEST_DEVICE_MEMORY_H_

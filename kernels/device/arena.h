// Device memory for many arrays with one allocation: handed out front to back, given back all at once.
//
//   Arena arena;
//   status = arena.Create(device, "layer workspace", bytes, device->checked());
//   float* x = arena.Take<float>("normed", rows * cols);     // null when there is no room: status() says which
//   ...
//   status = arena.Reset();                                  // checks the red zones, then everything is free again
//
// A checked arena puts 256 bytes of red zone on either side of an array, which Check compares, and fills arrays with
// 0xff (NaN in any float, -1 in any integer), so that what was never written is seen. Under AddressSanitizer the zones
// of an emulated device are poisoned instead: reads beyond an array are reported at once, too.
#ifndef KERNELS_DEVICE_ARENA_H_
#define KERNELS_DEVICE_ARENA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/device/device.h"

namespace eaq::kernels {

class Arena {
 public:
  static constexpr int64_t kAlignment = 256;
  static constexpr int kPoison = 0xff;

  Arena() = default;
  ~Arena() { Release(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // BYTES of DEVICE, which outlives this object; what was there before is given back.
  BackendStatus Create(Device* device, std::string name, int64_t bytes, bool checked);
  // Without a check of the red zones.
  void Release();

  // COUNT elements at a multiple of 256 bytes. WHAT is for messages.
  template <typename T>
  T* Take(const char* what, int64_t count) {
    return static_cast<T*>(TakeBytes(what, count * static_cast<int64_t>(sizeof(T))));
  }
  void* TakeBytes(const char* what, int64_t bytes);
  // The first Take that had no room, or what Check would have found.
  const BackendStatus& status() const { return status_; }

  // The red zones of all arrays; waits for the kernels. Nothing to do for an arena that is not checked.
  BackendStatus Check();
  BackendStatus Reset();

  // Bytes that an array takes of an arena.
  static int64_t Footprint(int64_t bytes, bool checked);

 private:
  struct Array {
    const char* what;
    int64_t begin, bytes;
  };
  BackendStatus CheckZone(const Array& array, bool before);

  Device* device_ = nullptr;
  std::string name_;
  char* memory_ = nullptr;
  int64_t bytes_ = 0, used_ = 0;
  bool checked_ = false;
  std::vector<Array> arrays_;
  BackendStatus status_;
};

}  // namespace eaq::kernels

#endif  // KERNELS_DEVICE_ARENA_H_

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
#include <type_traits>
#include <utility>
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

  // Several arrays by one description, which calls its argument for each: take(pointer, "what", count).
  //   const auto lay = [&](auto take) { take(x, "rows", n); take(ids, "ids", m); };
  //   status = arena.CreateFor(device, "name", device->checked(), lay);
  // Bytes that they take of an arena.
  template <typename Lay>
  static int64_t FootprintOf(Lay lay, bool checked) {
    int64_t bytes = 0;
    lay([&](auto*& at, const char*, int64_t count) {
      bytes += Footprint(count * static_cast<int64_t>(sizeof(*at)), checked);
    });
    return bytes;
  }
  // Takes them all.
  template <typename Lay>
  BackendStatus TakeAll(Lay lay) {
    lay([&](auto*& at, const char* what, int64_t count) {
      at = Take<std::remove_reference_t<decltype(*at)>>(what, count);
    });
    return status();
  }
  // Create with room for them, then TakeAll.
  template <typename Lay>
  BackendStatus CreateFor(Device* device, std::string name, bool checked, Lay lay) {
    const BackendStatus created = Create(device, std::move(name), FootprintOf(lay, checked), checked);
    return created.ok() ? TakeAll(lay) : created;
  }

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

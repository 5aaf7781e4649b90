#include "kernels/device/arena.h"

#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define EAQ_ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EAQ_ARENA_ASAN 1
#endif
#endif
#if defined(EAQ_ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace eaq::kernels {
namespace {

constexpr int64_t kZone = 256;
constexpr int kZoneByte = 0xa5;

constexpr int64_t RoundUp(int64_t n) { return (n + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment; }

// Whether the host's AddressSanitizer watches the memory of DEVICE.
bool Watched([[maybe_unused]] const Device& device) {
#if defined(EAQ_ARENA_ASAN)
  return device.kind() == BackendKind::kEmulation;
#else
  return false;
#endif
}

void SetPoison([[maybe_unused]] const char* at, [[maybe_unused]] int64_t bytes, [[maybe_unused]] bool poisoned) {
#if defined(EAQ_ARENA_ASAN)
  if (poisoned) {
    ASAN_POISON_MEMORY_REGION(at, bytes);
  } else {
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
  }
#endif
}

}  // namespace

int64_t Arena::Footprint(int64_t bytes, bool checked) { return RoundUp(bytes) + (checked ? 2 * kZone : 0); }

BackendStatus Arena::Create(Device* device, std::string name, int64_t bytes, bool checked) {
  Release();
  device_ = device;
  name_ = std::move(name);
  checked_ = checked;
  void* memory = nullptr;
  const BackendStatus allocated = device->Allocate(RoundUp(bytes), &memory);
  if (!allocated.ok()) return BackendStatus::Failure("arena " + name_ + ": " + allocated.text());
  memory_ = static_cast<char*>(memory);
  bytes_ = RoundUp(bytes);
  if (checked_ && Watched(*device_)) SetPoison(memory_, bytes_, true);
  return {};
}

void Arena::Release() {
  if (memory_ == nullptr) return;
  if (checked_ && Watched(*device_)) SetPoison(memory_, bytes_, false);
  device_->Free(memory_);
  memory_ = nullptr;
  arrays_.clear();
  bytes_ = used_ = 0;
  status_ = {};
}

void* Arena::TakeBytes(const char* what, int64_t bytes) {
  const int64_t needed = Footprint(bytes, checked_);
  if (bytes < 0 || used_ + needed > bytes_) {
    if (status_.ok()) {
      status_ =
          BackendStatus::Failure("arena " + name_ + ": " + what + " needs " + std::to_string(needed) + " bytes; " +
                                 std::to_string(bytes_ - used_) + " of " + std::to_string(bytes_) + " are left");
    }
    return nullptr;
  }
  const Array array = {what, used_ + (checked_ ? kZone : 0), bytes};
  used_ += needed;
  char* const at = memory_ + array.begin;
  if (!checked_) return at;
  arrays_.push_back(array);
  BackendStatus filled;
  if (Watched(*device_)) {
    SetPoison(at, bytes, false);
  } else {
    filled = device_->Fill(at - kZone, kZoneByte, kZone);
    if (filled.ok()) filled = device_->Fill(at + bytes, kZoneByte, kZone);
  }
  if (filled.ok()) filled = device_->Fill(at, kPoison, bytes);
  if (!filled.ok() && status_.ok()) status_ = filled;
  return at;
}

BackendStatus Arena::CheckZone(const Array& array, bool before) {
  unsigned char zone[kZone];
  const char* const at = memory_ + array.begin + (before ? -kZone : array.bytes);
  const BackendStatus copied = device_->CopyOut(zone, at, kZone);
  if (!copied.ok()) return copied;
  for (int64_t i = 0; i < kZone; ++i) {
    if (zone[i] == kZoneByte) continue;
    return BackendStatus::Failure("arena " + name_ + ": " + array.what + " (" + std::to_string(array.bytes) +
                                  " bytes) written " +
                                  (before ? std::to_string(kZone - i) + " bytes before its start"
                                          : std::to_string(i + 1) + " bytes beyond its end"));
  }
  return {};
}

BackendStatus Arena::Check() {
  if (!status_.ok() || !checked_ || memory_ == nullptr || Watched(*device_)) return status_;
  for (const Array& array : arrays_) {
    for (const bool before : {true, false}) {
      if (status_.ok()) status_ = CheckZone(array, before);
    }
  }
  return status_;
}

BackendStatus Arena::Reset() {
  BackendStatus found = Check();
  if (checked_ && memory_ != nullptr && Watched(*device_)) SetPoison(memory_, bytes_, true);
  arrays_.clear();
  used_ = 0;
  status_ = {};
  return found;
}

}  // namespace eaq::kernels

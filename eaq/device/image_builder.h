// Puts arrays one after the other into an image's bytes, aligned as a device wants them.
#ifndef EAQ_DEVICE_IMAGE_BUILDER_H_
#define EAQ_DEVICE_IMAGE_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace eaq {

class ImageBuilder {
 public:
  // BYTES and POINTERS (places in BYTES that hold offsets and must become addresses) outlive this.
  ImageBuilder(std::vector<uint8_t>& bytes, std::vector<int64_t>& pointers) : bytes_(bytes), pointers_(pointers) {}

  // The offset of COUNT values.
  template <typename T>
  int64_t Put(const T* values, size_t count) {
    const int64_t at = static_cast<int64_t>((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment);
    bytes_.resize(at + count * sizeof(T));
    if (count > 0) std::memcpy(bytes_.data() + at, values, count * sizeof(T));
    return at;
  }
  template <typename T>
  int64_t Put(const std::vector<T>& values) {
    return Put(values.data(), values.size());
  }
  // The member at FIELD bytes into entry I of a table of ENTRY bytes each at TABLE points to what lies at TARGET.
  void Point(int64_t table, size_t entry, size_t i, size_t field, int64_t target) {
    const int64_t at = table + static_cast<int64_t>(i * entry + field);
    const uint64_t offset = static_cast<uint64_t>(target);
    std::memcpy(bytes_.data() + at, &offset, sizeof offset);
    pointers_.push_back(at);
  }

 private:
  static constexpr int64_t kAlignment = 256;
  std::vector<uint8_t>& bytes_;
  std::vector<int64_t>& pointers_;
};

}  // namespace eaq

#endif  // EAQ_DEVICE_IMAGE_BUILDER_H_

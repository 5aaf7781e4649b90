// Numbers and arrays as bytes and back, for cache entries: native order, sizes in front, every read checked.
//
//   ByteWriter out;
//   out.Number(layers).Array(absl::MakeConstSpan(values));
//   ByteReader in(out.bytes());
//   const int64_t layers = in.Number<int64_t>();
//   in.Array(&values);
//   if (!in.Finished()) ...   // something was missing, or too much: the values read are not to be used
#ifndef EAQ_BASE_BYTES_H_
#define EAQ_BASE_BYTES_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace eaq {

class ByteWriter {
 public:
  template <typename T>
  ByteWriter& Number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }
  // Its length, then its elements.
  template <typename T>
  ByteWriter& Array(absl::Span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    Number<uint64_t>(values.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    return *this;
  }
  ByteWriter& Text(absl::string_view text) { return Array(absl::Span<const char>(text.data(), text.size())); }

  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : left_(bytes) {}

  // T() after the end.
  template <typename T>
  T Number() {
    static_assert(std::is_arithmetic_v<T>);
    T value = T();
    if (!ok_ || left_.size() < sizeof(T)) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, left_.data(), sizeof(T));
    left_.remove_prefix(sizeof(T));
    return value;
  }
  // VALUES: anything with resize() and data(); empty after the end.
  template <typename Container>
  void Array(Container* values) {
    using T = std::remove_reference_t<decltype((*values)[0])>;
    static_assert(std::is_trivially_copyable_v<T>);
    const uint64_t count = Number<uint64_t>();
    if (!ok_ || count > left_.size() / sizeof(T)) {
      ok_ = false;
      values->resize(0);
      return;
    }
    values->resize(count);
    if (count > 0) std::memcpy(&(*values)[0], left_.data(), count * sizeof(T));
    left_.remove_prefix(count * sizeof(T));
  }
  std::string Text() {
    std::string text;
    Array(&text);
    return text;
  }

  bool ok() const { return ok_; }
  // Everything was there, and nothing is left.
  bool Finished() const { return ok_ && left_.empty(); }

 private:
  absl::string_view left_;
  bool ok_ = true;
};

}  // namespace eaq

#endif  // EAQ_BASE_BYTES_H_

// Content hashes: SHA-256 (OpenSSL) of bytes, and Fingerprint, the hash of a list of typed fields.
//
//   const std::string id = Fingerprint("profile/v1").Add(model_hash).Add(window_ids).Hex();
//
// Every field enters with its type and length, so no two different lists give the same byte stream. The first
// string names the purpose and its version: change it when the meaning of the fields changes.
#ifndef EAQ_BASE_HASH_H_
#define EAQ_BASE_HASH_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace eaq {

// 64 lower-case hex digits.
std::string Sha256Hex(absl::string_view bytes);

class Fingerprint {
 public:
  explicit Fingerprint(absl::string_view purpose);
  ~Fingerprint();
  Fingerprint(const Fingerprint&) = delete;
  Fingerprint& operator=(const Fingerprint&) = delete;

  Fingerprint& Add(absl::string_view text);
  Fingerprint& Add(const char* text) { return Add(absl::string_view(text)); }
  Fingerprint& Add(const std::string& text) { return Add(absl::string_view(text)); }
  Fingerprint& Add(uint64_t value);
  Fingerprint& Add(int64_t value) { return Add(static_cast<uint64_t>(value)); }
  Fingerprint& Add(int value) { return Add(static_cast<uint64_t>(static_cast<int64_t>(value))); }
  Fingerprint& Add(bool value) { return Add(static_cast<uint64_t>(value)); }
  Fingerprint& Add(double value);  // by bit pattern
  Fingerprint& Add(absl::Span<const float> values);
  Fingerprint& Add(absl::Span<const double> values);
  Fingerprint& Add(absl::Span<const int32_t> values);

  // Of the fields so far; more may be added afterwards.
  std::string Hex() const;  // 64 digits
  uint64_t Low64() const;   // the first 8 bytes, little-endian

 private:
  void Field(char tag, const void* data, size_t bytes);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace eaq

#endif  // EAQ_BASE_HASH_H_

#include "eaq/base/hash.h"

#include <openssl/evp.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "absl/strings/escaping.h"

namespace eaq {
namespace {

using Digest = std::array<unsigned char, 32>;

// OpenSSL's digest calls fail only on misuse or when the library itself is broken: nothing a caller could handle.
void Require(int ok) {
  if (ok != 1) std::abort();
}

std::string Hex(const Digest& digest) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

}  // namespace

struct Fingerprint::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { Require(EVP_DigestInit_ex(context, EVP_sha256(), nullptr)); }
  ~State() { EVP_MD_CTX_free(context); }

  Digest Finish() const {
    Digest digest;
    EVP_MD_CTX* copy = EVP_MD_CTX_new();
    Require(EVP_MD_CTX_copy_ex(copy, context));
    Require(EVP_DigestFinal_ex(copy, digest.data(), nullptr));
    EVP_MD_CTX_free(copy);
    return digest;
  }
};

std::string Sha256Hex(absl::string_view bytes) {
  Digest digest;
  Require(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr));
  return Hex(digest);
}

Fingerprint::Fingerprint(absl::string_view purpose) : state_(std::make_unique<State>()) { Add(purpose); }
Fingerprint::~Fingerprint() = default;

void Fingerprint::Field(char tag, const void* data, size_t bytes) {
  const uint64_t length = bytes;
  Require(EVP_DigestUpdate(state_->context, &tag, 1));
  Require(EVP_DigestUpdate(state_->context, &length, sizeof(length)));
  if (bytes > 0) Require(EVP_DigestUpdate(state_->context, data, bytes));
}

Fingerprint& Fingerprint::Add(absl::string_view text) {
  Field('s', text.data(), text.size());
  return *this;
}

Fingerprint& Fingerprint::Add(uint64_t value) {
  Field('u', &value, sizeof(value));
  return *this;
}

Fingerprint& Fingerprint::Add(double value) {
  Field('d', &value, sizeof(value));
  return *this;
}

Fingerprint& Fingerprint::Add(absl::Span<const float> values) {
  Field('F', values.data(), values.size() * sizeof(float));
  return *this;
}

Fingerprint& Fingerprint::Add(absl::Span<const double> values) {
  Field('D', values.data(), values.size() * sizeof(double));
  return *this;
}

Fingerprint& Fingerprint::Add(absl::Span<const int32_t> values) {
  Field('I', values.data(), values.size() * sizeof(int32_t));
  return *this;
}

std::string Fingerprint::Hex() const { return eaq::Hex(state_->Finish()); }

uint64_t Fingerprint::Low64() const {
  const Digest digest = state_->Finish();
  uint64_t low;
  std::memcpy(&low, digest.data(), sizeof(low));
  return low;
}

}  // namespace eaq

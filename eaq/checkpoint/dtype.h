// The element types a safetensors file can name, and their conversion to float32.
#ifndef EAQ_CHECKPOINT_DTYPE_H_
#define EAQ_CHECKPOINT_DTYPE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace eaq {

enum class DType {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kU16,
  kI16,
  kF16,
  kBF16,
  kU32,
  kI32,
  kF32,
  kU64,
  kI64,
  kF64,
  kC64,
  kF4,
  kF6E2M3,
  kF6E3M2,
};

// "BF16" and the like; nullopt for a string the format does not know.
std::optional<DType> ParseDType(absl::string_view name);
absl::string_view DTypeName(DType dtype);
int DTypeBits(DType dtype);

// Widens BYTES (little-endian, any alignment) to OUT. F32, F16 and BF16 are exact; every other type is Unimplemented.
// InvalidArgument when the sizes disagree.
absl::Status BytesToFloats(DType dtype, absl::string_view bytes, absl::Span<float> out);

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_DTYPE_H_

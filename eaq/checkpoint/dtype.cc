#include "eaq/checkpoint/dtype.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "eaq/tensor/bf16.h"
#include "eaq/tensor/f16.h"

namespace eaq {
namespace {

struct Row {
  DType dtype;
  const char* name;
  int bits;
};

constexpr Row kTable[] = {
    {DType::kBool, "BOOL", 8},
    {DType::kU8, "U8", 8},
    {DType::kI8, "I8", 8},
    {DType::kF8E4M3, "F8_E4M3", 8},
    {DType::kF8E5M2, "F8_E5M2", 8},
    {DType::kF8E8M0, "F8_E8M0", 8},
    {DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8},
    {DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8},
    {DType::kU16, "U16", 16},
    {DType::kI16, "I16", 16},
    {DType::kF16, "F16", 16},
    {DType::kBF16, "BF16", 16},
    {DType::kU32, "U32", 32},
    {DType::kI32, "I32", 32},
    {DType::kF32, "F32", 32},
    {DType::kU64, "U64", 64},
    {DType::kI64, "I64", 64},
    {DType::kF64, "F64", 64},
    {DType::kC64, "C64", 64},
    {DType::kF4, "F4", 4},
    {DType::kF6E2M3, "F6_E2M3", 6},
    {DType::kF6E3M2, "F6_E3M2", 6},
};

}  // namespace

std::optional<DType> ParseDType(absl::string_view name) {
  for (const Row& row : kTable)
    if (name == row.name) return row.dtype;
  return std::nullopt;
}

absl::string_view DTypeName(DType dtype) { return kTable[static_cast<int>(dtype)].name; }
int DTypeBits(DType dtype) { return kTable[static_cast<int>(dtype)].bits; }

absl::Status BytesToFloats(DType dtype, absl::string_view bytes, absl::Span<float> out) {
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    return absl::UnimplementedError(
        absl::StrCat("dtype ", DTypeName(dtype), " is not supported as a weight; expected F32, F16 or BF16"));
  }
  const size_t width = DTypeBits(dtype) / 8;
  if (bytes.size() != out.size() * width) {
    return absl::InvalidArgumentError(absl::StrCat("expected ", out.size() * width, " bytes, found ", bytes.size()));
  }
  if (out.empty()) return absl::OkStatus();
  if (dtype == DType::kF32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    out[i] = dtype == DType::kBF16 ? Bf16ToFloat(bits) : F16ToFloat(bits);
  }
  return absl::OkStatus();
}

}  // namespace eaq

#include "eaq/checkpoint/safetensors_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/tensor/bf16.h"
#include "eaq/tensor/f16.h"

namespace eaq {
namespace {

// The values in DTYPE, little-endian.
std::string Encode(DType dtype, absl::Span<const float> values) {
  std::string bytes(values.size() * (DTypeBits(dtype) / 8), '\0');
  if (dtype == DType::kF32) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = dtype == DType::kBF16 ? FloatToBf16(values[i]) : FloatToF16(values[i]);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

}  // namespace

absl::Status SafetensorsWriter::Add(const std::string& name, DType dtype, std::vector<int64_t> shape,
                                    absl::Span<const float> values) {
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor \"", name, "\": floats cannot be stored as ", DTypeName(dtype), "; use F32, F16 or BF16"));
  }
  return AddBytes(name, dtype, std::move(shape), Encode(dtype, values));
}

absl::Status SafetensorsWriter::AddBytes(const std::string& name, DType dtype, std::vector<int64_t> shape,
                                         std::string bytes) {
  int64_t elements = 1;
  for (const int64_t d : shape) elements *= d;
  if (elements * DTypeBits(dtype) != static_cast<int64_t>(bytes.size()) * 8) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\": the shape takes ",
                                                   elements * DTypeBits(dtype) / 8, " bytes, found ", bytes.size()));
  }
  if (name == "__metadata__" || !tensors_.emplace(name, Tensor{dtype, std::move(shape), std::move(bytes)}).second)
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\": the name is already taken"));
  return absl::OkStatus();
}

std::string SafetensorsWriter::Serialize() const {
  std::vector<const std::pair<const std::string, Tensor>*> order;
  for (const auto& entry : tensors_) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return DTypeBits(a->second.dtype) > DTypeBits(b->second.dtype);
  });
  // Written by hand: a JSON object with one member per tensor would be searched linearly at every insertion.
  std::string header = "{";
  if (!metadata_.empty()) absl::StrAppend(&header, "\"__metadata__\":", Json(metadata_).dump(), ",");
  size_t offset = 0;
  for (const auto* entry : order) {
    const Tensor& tensor = entry->second;
    const Json fields = {{"dtype", std::string(DTypeName(tensor.dtype))},
                         {"shape", tensor.shape},
                         {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    absl::StrAppend(&header, Json(entry->first).dump(), ":", fields.dump(), ",");
    offset += tensor.bytes.size();
  }
  if (header.back() == ',') header.pop_back();
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');

  std::string file(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  file.reserve(8 + header.size() + offset);
  file += header;
  for (const auto* entry : order) file += entry->second.bytes;
  return file;
}

absl::Status SafetensorsWriter::Write(const std::string& path) const { return WriteFileAtomic(path, Serialize()); }

}  // namespace eaq

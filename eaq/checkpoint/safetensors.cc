#include "eaq/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the reference reader's limit
constexpr size_t kMaxRank = 8;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxTensors = 1'000'000;
constexpr int kMaxDepth = 8;

absl::Status Bad(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("tensor \"", name.substr(0, 120), "\": ", what));
}

// A JSON number that is a plain integer in [0, 2^63).
bool ReadIndex(const Json& value, uint64_t* out) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned()) {
    *out = value.get<uint64_t>();
  } else {
    if (value.get<int64_t>() < 0) return false;
    *out = static_cast<uint64_t>(value.get<int64_t>());
  }
  return *out <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

absl::StatusOr<TensorInfo> ParseEntry(const std::string& name, const Json& entry) {
  if (!entry.is_object()) return Bad(name, "its entry is not an object");
  for (const char* key : {"dtype", "shape", "data_offsets"})
    if (!entry.contains(key)) return Bad(name, absl::StrCat("\"", key, "\" is missing"));
  TensorInfo info;
  if (!entry["dtype"].is_string()) return Bad(name, "\"dtype\" is not a string");
  const std::string dtype = entry["dtype"].get<std::string>();
  const std::optional<DType> known = ParseDType(dtype);
  if (!known) return Bad(name, absl::StrCat("unknown dtype \"", dtype.substr(0, 40), "\""));
  info.dtype = *known;

  const Json& shape = entry["shape"];
  if (!shape.is_array()) return Bad(name, "\"shape\" is not an array");
  if (shape.size() > kMaxRank) return Bad(name, absl::StrCat("rank ", shape.size(), "; at most ", kMaxRank));
  // The product is checked dimension by dimension, so that a later 0 hides no overflow.
  uint64_t elements = 1;
  for (const Json& dimension : shape) {
    uint64_t value = 0;
    if (!ReadIndex(dimension, &value)) return Bad(name, "a dimension is not an integer in [0, 2^63)");
    if (__builtin_mul_overflow(elements, value, &elements) ||
        elements > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Bad(name, "the number of elements overflows 63 bits");
    }
    info.shape.push_back(static_cast<int64_t>(value));
  }
  uint64_t bits = 0;
  if (__builtin_mul_overflow(elements, static_cast<uint64_t>(DTypeBits(info.dtype)), &bits))
    return Bad(name, "the number of bits overflows 64 bits");
  if (bits % 8 != 0) return Bad(name, absl::StrCat(bits, " bits are no whole number of bytes"));

  const Json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) return Bad(name, "\"data_offsets\" is not an array of two numbers");
  if (!ReadIndex(offsets[0], &info.begin) || !ReadIndex(offsets[1], &info.end))
    return Bad(name, "an offset is not an integer in [0, 2^63)");
  if (info.end < info.begin) return Bad(name, absl::StrCat("ends at ", info.end, " before it begins at ", info.begin));
  if (info.end - info.begin != bits / 8) {
    return Bad(name, absl::StrCat("shape ", ShapeString(info.shape), " of ", dtype, " takes ", bits / 8,
                                  " bytes; data_offsets give ", info.end - info.begin));
  }
  return info;
}

// Sorted by offset the tensors must follow each other from 0 to DATA_BYTES: no hole, no overlap, no rest.
absl::Status CheckTiling(const SafetensorsHeader& header, uint64_t data_bytes) {
  std::vector<const std::pair<const std::string, TensorInfo>*> order;
  for (const auto& entry : header.tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t position = 0;
  for (const auto* entry : order) {
    if (entry->second.begin != position) {
      return Bad(entry->first,
                 absl::StrCat(entry->second.begin < position ? "overlaps the one before it" : "leaves a hole before it",
                              ": begins at ", entry->second.begin, ", expected ", position));
    }
    position = entry->second.end;
  }
  if (position != data_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tensors take ", position, " bytes, the file holds ", data_bytes,
                     position > data_bytes ? " (truncated? download it again)" : " (bytes after the last tensor)"));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t TensorInfo::elements() const {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

std::string ShapeString(absl::Span<const int64_t> shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::string_view file) {
  if (file.size() < 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a safetensors file: ", file.size(), " bytes, shorter than the 8 bytes of the header length"));
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  if (length == 0) return absl::InvalidArgumentError("not a safetensors file: the header length is 0");
  if (length > kMaxHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a safetensors file: header length ", length, " is above the limit of ", kMaxHeader));
  }
  if (length > file.size() - 8) {
    return absl::InvalidArgumentError(absl::StrCat("header length ", length, " reaches past the end of the file (",
                                                   file.size(), " bytes; truncated?)"));
  }
  const absl::string_view text = file.substr(8, length);
  if (text[0] != '{') return absl::InvalidArgumentError("the header does not start with '{'");
  absl::StatusOr<Json> json = ParseJson(text, {.max_depth = kMaxDepth});
  if (!json.ok()) return Annotate(json.status(), "header");
  if (!json->is_object()) return absl::InvalidArgumentError("the header is not a JSON object");
  if (json->size() > kMaxTensors) return absl::InvalidArgumentError("the header names more than 1,000,000 tensors");

  SafetensorsHeader header;
  header.data_begin = 8 + length;
  for (const auto& [name, entry] : json->items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) return absl::InvalidArgumentError("__metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string())
          return absl::InvalidArgumentError(absl::StrCat("__metadata__: the value of \"", key, "\" is not a string"));
        header.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    if (name.size() > kMaxName)
      return Bad(name, absl::StrCat("its name has ", name.size(), " bytes; at most ", kMaxName));
    EAQ_ASSIGN_OR_RETURN(header.tensors[name], ParseEntry(name, entry));
  }
  EAQ_RETURN_IF_ERROR(CheckTiling(header, file.size() - header.data_begin));
  return header;
}

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  std::shared_ptr<SafetensorsFile> file(new SafetensorsFile);
  EAQ_ASSIGN_OR_RETURN(file->file_, MappedFile::Open(path));
  absl::StatusOr<SafetensorsHeader> header = ParseSafetensors(file->file_->bytes());
  if (!header.ok()) return Annotate(header.status(), path);
  file->header_ = *std::move(header);
  return std::shared_ptr<const SafetensorsFile>(std::move(file));
}

const TensorInfo* SafetensorsFile::Find(const std::string& name) const {
  const auto it = header_.tensors.find(name);
  return it == header_.tensors.end() ? nullptr : &it->second;
}

absl::string_view SafetensorsFile::Bytes(const TensorInfo& info) const {
  return file_->bytes().substr(header_.data_begin + info.begin, info.end - info.begin);
}

}  // namespace eaq

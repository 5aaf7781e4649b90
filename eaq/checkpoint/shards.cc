#include "eaq/checkpoint/shards.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

// A shard's name is a bare file name: nothing may lead out of the folder.
bool IsBareName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<Json> json = ParseJson(text);
  if (!json.ok()) return Annotate(json.status(), path);
  if (!json->is_object() || !json->contains("weight_map") || !(*json)["weight_map"].is_object())
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected an object with an object \"weight_map\""));
  std::map<std::string, std::string> map;
  for (const auto& [tensor, file] : (*json)["weight_map"].items()) {
    if (!file.is_string())
      return absl::InvalidArgumentError(absl::StrCat(path, ": the file of tensor \"", tensor, "\" is not a string"));
    const std::string name = file.get<std::string>();
    if (!IsBareName(name)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": tensor \"", tensor, "\" is mapped to \"", name,
                                                     "\"; expected the bare name of a file in the same folder"));
    }
    map[tensor] = name;
  }
  return map;
}

}  // namespace

absl::StatusOr<TensorStore> TensorStore::Open(const std::string& folder) {
  TensorStore store;
  store.folder_ = folder;
  const std::string single = JoinPath(folder, kSingle), index = JoinPath(folder, kIndex);
  if (!FileExists(index)) {
    if (!FileExists(single)) {
      return absl::NotFoundError(absl::StrCat(folder, ": no weights; expected ", kSingle, " or ", kIndex,
                                              IsDirectory(folder) ? "" : " (the folder does not exist)"));
    }
    EAQ_ASSIGN_OR_RETURN(const auto file, SafetensorsFile::Open(single));
    for (const auto& [name, info] : file->tensors()) store.tensors_[name] = {file, info};
    return store;
  }

  EAQ_ASSIGN_OR_RETURN(const auto map, ReadIndex(index));
  std::map<std::string, std::shared_ptr<const SafetensorsFile>> files;
  for (const auto& [tensor, name] : map) {
    if (files.contains(name)) continue;
    absl::StatusOr<std::shared_ptr<const SafetensorsFile>> file = SafetensorsFile::Open(JoinPath(folder, name));
    if (!file.ok()) return Annotate(file.status(), absl::StrCat(index, " names a shard that cannot be read"));
    files[name] = *std::move(file);
  }
  std::map<std::string, std::string> seen;
  for (const auto& [name, file] : files) {
    for (const auto& [tensor, info] : file->tensors()) {
      const auto [it, fresh] = seen.emplace(tensor, name);
      if (!fresh) {
        return absl::InvalidArgumentError(
            absl::StrCat(folder, ": tensor \"", tensor, "\" is in two shards, ", it->second, " and ", name));
      }
      if (!map.contains(tensor)) store.unlisted_.push_back(tensor);
    }
  }
  for (const auto& [tensor, name] : map) {
    const TensorInfo* info = files[name]->Find(tensor);
    if (info == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(index, ": tensor \"", tensor, "\" is not in its shard ", name));
    }
    store.tensors_[tensor] = {files[name], *info};
  }
  return store;
}

absl::Status TensorStore::Check(const std::string& name, absl::Span<const int64_t> shape) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    return absl::NotFoundError(
        absl::StrCat(folder_, ": tensor \"", name, "\" ", ShapeString(shape), " is missing; config.json asks for it"));
  }
  const Entry& entry = it->second;
  if (absl::MakeConstSpan(entry.info.shape) != shape) {
    return absl::InvalidArgumentError(absl::StrCat(entry.file->path(), ": tensor \"", name, "\" has shape ",
                                                   ShapeString(entry.info.shape), "; config.json asks for ",
                                                   ShapeString(shape)));
  }
  const DType dtype = entry.info.dtype;
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    return absl::UnimplementedError(absl::StrCat(entry.file->path(), ": tensor \"", name, "\" has dtype ",
                                                 DTypeName(dtype), "; supported are F32, F16 and BF16"));
  }
  return absl::OkStatus();
}

absl::Status TensorStore::Read(const std::string& name, int64_t begin, absl::Span<float> out) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) return absl::NotFoundError(absl::StrCat(folder_, ": tensor \"", name, "\" is missing"));
  const Entry& entry = it->second;
  const int64_t count = static_cast<int64_t>(out.size());
  if (begin < 0 || begin + count > entry.info.elements()) {
    return absl::OutOfRangeError(absl::StrCat(entry.file->path(), ": tensor \"", name, "\" has ", entry.info.elements(),
                                              " elements, asked for ", begin, " .. ", begin + count));
  }
  EAQ_RETURN_IF_ERROR(entry.file->CheckUnchanged());
  const int64_t width = DTypeBits(entry.info.dtype) / 8;
  const absl::string_view bytes = entry.file->Bytes(entry.info).substr(begin * width, count * width);
  return Annotate(BytesToFloats(entry.info.dtype, bytes, out),
                  absl::StrCat(entry.file->path(), ": tensor \"", name, "\""));
}

}  // namespace eaq

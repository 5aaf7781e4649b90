#include "eaq/quant/packed_file.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/base/status_macros.h"
#include "eaq/checkpoint/safetensors.h"
#include "eaq/checkpoint/safetensors_writer.h"
#include "eaq/quant/packed_cache.h"
#include "eaq/quant/packed_online.h"
#include "eaq/quant/packed_routing.h"

namespace eaq {
namespace {

constexpr char kReserved[] = "eaq.";
constexpr char kFormatKey[] = "eaq.format";
constexpr char kFormat[] = "packed-weights-1";
constexpr char kFormatOnline[] = "packed-weights-2";   // the same, with online transforms
constexpr char kFormatCache[] = "packed-weights-3";    // and with codes of 6 bits in planes, and cached rows
constexpr char kFormatRouting[] = "packed-weights-4";  // and with binary grids, widths of groups, routing policies
constexpr char kLinearKey[] = "eaq.linear.";           // + name: "bits kind granularity group_size rows cols"
constexpr char kOnlineKey[] = "eaq.online.";           // + index: the steps in words
constexpr char kOnlineOfKey[] = "eaq.online_of.";      // + name: the index of the linear's transform
constexpr char kCacheKey[] = "eaq.cache.";             // + name: "bits pool width ..."
constexpr char kSetKey[] = "eaq.set.";                 // + index: the name of a data set
constexpr char kRoutingKey[] = "eaq.routing.";         // + layer: "keep EXPERT ...; drop RATIO PROTECTED"
constexpr const char* kKinds[] = {"asymmetric", "symmetric_full_range", "symmetric_restricted", "binary"};
constexpr const char* kGranularities[] = {"channel", "tensor", "group"};

std::string Describe(const PackedMatrix& p) {
  return absl::StrCat(p.grid.bits, " ", kKinds[static_cast<int>(p.grid.kind)], " ",
                      kGranularities[static_cast<int>(p.grid.granularity)], " ", p.grid.group_size, " ", p.rows, " ",
                      p.cols);
}

template <size_t kCount>
bool Lookup(absl::string_view name, const char* const (&names)[kCount], int* index) {
  for (size_t i = 0; i < kCount; ++i) {
    if (name == names[i]) {
      *index = static_cast<int>(i);
      return true;
    }
  }
  return false;
}

absl::Status ParseDescription(absl::string_view text, PackedMatrix* p) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  int kind, granularity;
  if (words.size() != 6 || !absl::SimpleAtoi(words[0], &p->grid.bits) || !Lookup(words[1], kKinds, &kind) ||
      !Lookup(words[2], kGranularities, &granularity) || !absl::SimpleAtoi(words[3], &p->grid.group_size) ||
      !absl::SimpleAtoi(words[4], &p->rows) || !absl::SimpleAtoi(words[5], &p->cols)) {
    return absl::InvalidArgumentError(absl::StrCat("description '", text,
                                                   "'; expected 'bits kind granularity group_size rows cols', e.g. "
                                                   "'4 asymmetric group 32 64 128'"));
  }
  p->grid.kind = static_cast<GridKind>(kind);
  p->grid.granularity = static_cast<Granularity>(granularity);
  // Keeps every product of the size account far from overflow before the tensors are looked at.
  constexpr int64_t kLargest = int64_t{1} << 28;
  if (p->rows < 0 || p->rows > kLargest || p->cols < 1 || p->cols > kLargest) {
    return absl::InvalidArgumentError(absl::StrCat("shape [", p->rows, ", ", p->cols, "]"));
  }
  return ValidateGrid(p->grid);
}

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

template <typename T>
void FromBytes(absl::string_view bytes, std::vector<T>* values) {
  values->resize(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values->data(), bytes.data(), values->size() * sizeof(T));
}

// One tensor of a linear; leaves `values` empty and is OK where an optional one is missing.
template <typename T>
absl::Status ReadTensor(const SafetensorsFile& file, const std::string& name, DType dtype, bool optional,
                        std::vector<T>* values, int64_t* used) {
  const TensorInfo* info = file.Find(name);
  if (info == nullptr) {
    if (optional) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("tensor '", name, "' is missing"));
  }
  if (info->dtype != dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "': expected ", DTypeName(dtype), ", found ", DTypeName(info->dtype)));
  }
  FromBytes(file.Bytes(*info), values);
  ++*used;
  return absl::OkStatus();
}

absl::Status AddLinear(const std::string& name, const PackedMatrix& p, SafetensorsWriter* writer) {
  EAQ_RETURN_IF_ERROR(ValidatePacked(p));
  writer->SetMetadata(absl::StrCat(kLinearKey, name), Describe(p));
  const int64_t row_bytes = p.rows == 0 ? 0 : static_cast<int64_t>(p.codes.size()) / p.rows;
  EAQ_RETURN_IF_ERROR(writer->AddBytes(name + ".codes", DType::kU8, {p.rows, row_bytes}, BytesOf(p.codes)));
  const int64_t grids = p.scales.size();
  EAQ_RETURN_IF_ERROR(writer->AddBytes(name + ".scales", DType::kF16, {grids}, BytesOf(p.scales)));
  if (!p.zeros.empty()) {
    const int64_t bytes = p.zeros.size();
    EAQ_RETURN_IF_ERROR(writer->AddBytes(name + ".zeros", DType::kU8, {bytes}, BytesOf(p.zeros)));
  }
  if (!p.group_index.empty()) {
    EAQ_RETURN_IF_ERROR(writer->AddBytes(name + ".group_index", DType::kU16, {p.cols}, BytesOf(p.group_index)));
  }
  if (!p.group_bits.empty()) {
    const int64_t groups = p.group_bits.size();
    EAQ_RETURN_IF_ERROR(writer->AddBytes(name + ".group_bits", DType::kU8, {groups}, BytesOf(p.group_bits)));
  }
  return absl::OkStatus();
}

absl::Status ReadLinear(const SafetensorsFile& file, const std::string& name, absl::string_view description,
                        bool planes, PackedMatrix* p, int64_t* used) {
  EAQ_RETURN_IF_ERROR(ParseDescription(description, p));
  EAQ_RETURN_IF_ERROR(ReadTensor(file, name + ".codes", DType::kU8, false, &p->codes, used));
  if (!planes) RepackStream(*p);
  EAQ_RETURN_IF_ERROR(ReadTensor(file, name + ".scales", DType::kF16, false, &p->scales, used));
  EAQ_RETURN_IF_ERROR(ReadTensor(file, name + ".zeros", DType::kU8, true, &p->zeros, used));
  EAQ_RETURN_IF_ERROR(ReadTensor(file, name + ".group_index", DType::kU16, true, &p->group_index, used));
  EAQ_RETURN_IF_ERROR(ReadTensor(file, name + ".group_bits", DType::kU8, true, &p->group_bits, used));
  return ValidatePacked(*p);
}

std::string OnlineName(int64_t index) { return absl::StrCat("online.", index); }

// Every linear's index leads to a transform that fits it, and every transform has a linear.
absl::Status CheckTransforms(const PackedModel& model) {
  std::set<int64_t> used;
  for (const auto& [name, index] : model.transform_of) {
    const auto linear = model.linears.find(name);
    if (linear == model.linears.end()) {
      return absl::InvalidArgumentError(absl::StrCat("online transform of linear ", name, ", which is not there"));
    }
    if (index < 0 || index >= static_cast<int64_t>(model.transforms.size()) || model.transforms[index] == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("linear ", name, " names online transform ", index, "; there are ", model.transforms.size()));
    }
    EAQ_RETURN_IF_ERROR(
        Annotate(model.transforms[index]->Validate(linear->second.cols), absl::StrCat("linear ", name)));
    used.insert(index);
  }
  if (used.size() == model.transforms.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(model.transforms.size(), " online transforms, of which only ", used.size(), " belong to a linear"));
}

// The transforms that the metadata describes, and whose they are.
absl::Status ReadTransforms(const SafetensorsFile& file, PackedModel* model, int64_t* used) {
  for (int64_t index = 0;; ++index) {
    const auto it = file.metadata().find(absl::StrCat(kOnlineKey, index));
    if (it == file.metadata().end()) break;
    absl::StatusOr<OnlineTransform> online = ReadOnline(file, OnlineName(index), it->second, used);
    EAQ_RETURN_IF_ERROR(Annotate(online.status(), OnlineName(index)));
    model->transforms.push_back(std::make_shared<const OnlineTransform>(*std::move(online)));
  }
  for (const auto& [key, value] : file.metadata()) {
    absl::string_view name = key;
    if (!absl::ConsumePrefix(&name, kOnlineOfKey)) continue;
    if (!absl::SimpleAtoi(value, &model->transform_of[std::string(name)])) {
      return absl::InvalidArgumentError(
          absl::StrCat("linear ", name, " names online transform '", value, "'; expected its index, 0 or more"));
    }
  }
  return CheckTransforms(*model);
}

// Every cache is its linear's, and has a width for each data set.
absl::Status CheckCaches(const PackedModel& model) {
  for (const auto& [name, cache] : model.caches) {
    const auto linear = model.linears.find(name);
    if (linear == model.linears.end()) {
      return absl::InvalidArgumentError(absl::StrCat("cached rows of linear ", name, ", which is not there"));
    }
    const PackedMatrix& p = linear->second;
    if (cache.out != p.rows || cache.cols != p.cols || cache.grid != WithBits(p.grid, 8)) {
      return absl::InvalidArgumentError(absl::StrCat("linear ", name, " is [", p.rows, ", ", p.cols, "] ",
                                                     p.grid.ToString(), "; its cached rows are of [", cache.out, ", ",
                                                     cache.cols, "] ", cache.grid.ToString()));
    }
    if (cache.bits_of_set.size() != model.sets.size()) {
      return absl::InvalidArgumentError(absl::StrCat("linear ", name, ": cached rows have widths for ",
                                                     cache.bits_of_set.size(), " data sets; expected ",
                                                     model.sets.size()));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadCaches(const SafetensorsFile& file, PackedModel* model, int64_t* used) {
  for (int64_t index = 0;; ++index) {
    const auto it = file.metadata().find(absl::StrCat(kSetKey, index));
    if (it == file.metadata().end()) break;
    model->sets.push_back(it->second);
  }
  for (const auto& [key, value] : file.metadata()) {
    absl::string_view rest = key;
    if (!absl::ConsumePrefix(&rest, kCacheKey)) continue;
    const std::string name(rest);
    const auto linear = model->linears.find(name);
    if (linear == model->linears.end()) {
      return absl::InvalidArgumentError(absl::StrCat("cached rows of linear ", name, ", which is not there"));
    }
    absl::StatusOr<RowCache> cache = ReadCache(file, name, value, linear->second, used);
    EAQ_RETURN_IF_ERROR(Annotate(cache.status(), absl::StrCat("linear ", name)));
    model->caches.emplace(name, *std::move(cache));
  }
  return CheckCaches(*model);
}

absl::Status ReadRouting(const SafetensorsFile& file, PackedModel* model) {
  for (const auto& [key, value] : file.metadata()) {
    absl::string_view name = key;
    if (!absl::ConsumePrefix(&name, kRoutingKey)) continue;
    int layer = 0;
    if (!absl::SimpleAtoi(name, &layer) || layer < 0) {
      return absl::InvalidArgumentError(absl::StrCat("routing of layer '", name, "'; expected its index, 0 or more"));
    }
    absl::StatusOr<RoutingPolicy> policy = ParseRouting(value);
    EAQ_RETURN_IF_ERROR(Annotate(policy.status(), absl::StrCat("layer ", layer)));
    model->routing.emplace(layer, *std::move(policy));
  }
  return absl::OkStatus();
}

// The oldest version that can hold MODEL.
const char* FormatOf(const PackedModel& model) {
  const bool new_grids = std::any_of(model.linears.begin(), model.linears.end(), [](const auto& linear) {
    return linear.second.grid.kind == GridKind::kBinary || !linear.second.group_bits.empty();
  });
  if (new_grids || !model.routing.empty()) return kFormatRouting;
  const bool planes = std::any_of(model.linears.begin(), model.linears.end(),
                                  [](const auto& linear) { return linear.second.grid.bits == 6; });
  if (planes || !model.caches.empty() || !model.sets.empty()) return kFormatCache;
  return model.transforms.empty() ? kFormat : kFormatOnline;
}

}  // namespace

absl::Status PackedModel::SwitchTo(absl::string_view set) {
  const auto at = std::find(sets.begin(), sets.end(), set);
  if (!set.empty() && at == sets.end()) {
    return absl::NotFoundError(absl::StrCat("no data set '", set, "' to switch to; expected one of '",
                                            absl::StrJoin(sets, "', '"), "', or '' for none"));
  }
  for (auto& [name, cache] : caches) {
    if (cache.pool) cache.bits = set.empty() ? kAsRounded : cache.bits_of_set[at - sets.begin()];
  }
  return absl::OkStatus();
}

void PackedModel::SetOnline(const std::string& linear, const std::shared_ptr<const OnlineTransform>& online) {
  transform_of.erase(linear);
  if (online == nullptr) return;
  const auto it = std::find(transforms.begin(), transforms.end(), online);
  transform_of[linear] = it - transforms.begin();
  if (it == transforms.end()) transforms.push_back(online);
}

std::shared_ptr<const OnlineTransform> PackedModel::OnlineOf(const std::string& linear) const {
  const auto it = transform_of.find(linear);
  return it == transform_of.end() ? nullptr : transforms[it->second];
}

bool operator==(const PackedModel& a, const PackedModel& b) {
  return a.linears == b.linears && a.metadata == b.metadata && a.transform_of == b.transform_of &&
         a.caches == b.caches && a.sets == b.sets && a.routing == b.routing &&
         std::equal(a.transforms.begin(), a.transforms.end(), b.transforms.begin(), b.transforms.end(),
                    [](const auto& x, const auto& y) { return *x == *y; });
}

absl::Status WritePackedModel(const std::string& path, const PackedModel& model) {
  SafetensorsWriter writer;
  for (const auto& [key, value] : model.metadata) {
    if (absl::StartsWith(key, kReserved)) {
      return absl::InvalidArgumentError(absl::StrCat("packed model: metadata key '", key, "' starts with '", kReserved,
                                                     "', which is kept for the format itself"));
    }
    writer.SetMetadata(key, value);
  }
  writer.SetMetadata(kFormatKey, FormatOf(model));
  for (const auto& [name, linear] : model.linears) {
    EAQ_RETURN_IF_ERROR(Annotate(AddLinear(name, linear, &writer), absl::StrCat("packed model: linear ", name)));
  }
  EAQ_RETURN_IF_ERROR(Annotate(CheckTransforms(model), "packed model"));
  for (const auto& [name, index] : model.transform_of) {
    writer.SetMetadata(absl::StrCat(kOnlineOfKey, name), absl::StrCat(index));
  }
  for (size_t i = 0; i < model.transforms.size(); ++i) {
    writer.SetMetadata(absl::StrCat(kOnlineKey, i), DescribeOnline(*model.transforms[i]));
    EAQ_RETURN_IF_ERROR(
        Annotate(AddOnline(OnlineName(i), *model.transforms[i], &writer), absl::StrCat("packed model: online.", i)));
  }
  EAQ_RETURN_IF_ERROR(Annotate(CheckCaches(model), "packed model"));
  for (size_t i = 0; i < model.sets.size(); ++i) writer.SetMetadata(absl::StrCat(kSetKey, i), model.sets[i]);
  for (const auto& [name, cache] : model.caches) {
    writer.SetMetadata(absl::StrCat(kCacheKey, name), DescribeCache(cache));
    EAQ_RETURN_IF_ERROR(Annotate(AddCache(name, cache, &writer), absl::StrCat("packed model: linear ", name)));
  }
  for (const auto& [layer, policy] : model.routing) {
    writer.SetMetadata(absl::StrCat(kRoutingKey, layer), DescribeRouting(policy));
  }
  return writer.Write(path);
}

absl::StatusOr<PackedModel> ReadPackedModel(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const auto file, SafetensorsFile::Open(path));
  const auto format = file->metadata().find(kFormatKey);
  const bool known = format != file->metadata().end();
  const bool routing = known && format->second == kFormatRouting;
  const bool caches = routing || (known && format->second == kFormatCache);
  const bool online = caches || (known && format->second == kFormatOnline);
  if (!online && (!known || format->second != kFormat)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a file of packed weights: metadata '", kFormatKey,
                                                   "' is ", known ? absl::StrCat("'", format->second, "'") : "missing",
                                                   "; expected '", kFormat, "', '", kFormatOnline, "', '", kFormatCache,
                                                   "' or '", kFormatRouting, "'"));
  }
  PackedModel model;
  int64_t used = 0;
  for (const auto& [key, value] : file->metadata()) {
    absl::string_view name = key;
    if (absl::ConsumePrefix(&name, kLinearKey)) {
      const std::string linear(name);
      EAQ_RETURN_IF_ERROR(Annotate(ReadLinear(*file, linear, value, caches, &model.linears[linear], &used),
                                   absl::StrCat(path, ": linear ", linear)));
    } else if (!absl::StartsWith(key, kReserved)) {
      model.metadata[key] = value;
    }
  }
  if (online) EAQ_RETURN_IF_ERROR(Annotate(ReadTransforms(*file, &model, &used), path));
  if (caches) EAQ_RETURN_IF_ERROR(Annotate(ReadCaches(*file, &model, &used), path));
  if (routing) EAQ_RETURN_IF_ERROR(Annotate(ReadRouting(*file, &model), path));
  if (used != static_cast<int64_t>(file->tensors().size())) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", file->tensors().size(), " tensors, of which only ", used,
                                                   " belong to what the metadata describes"));
  }
  return model;
}

absl::StatusOr<int64_t> TensorBytesInFile(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const auto file, SafetensorsFile::Open(path));
  int64_t bytes = 0;
  for (const auto& [name, info] : file->tensors()) bytes += static_cast<int64_t>(info.end - info.begin);
  return bytes;
}

}  // namespace eaq

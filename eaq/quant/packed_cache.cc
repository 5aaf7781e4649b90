#include "eaq/quant/packed_cache.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

bool ShortNumbers(int64_t out) { return out <= 65536; }

absl::StatusOr<absl::string_view> Bytes(const SafetensorsFile& file, const std::string& name, DType dtype,
                                        int64_t* used) {
  const TensorInfo* info = file.Find(name);
  if (info == nullptr) return absl::InvalidArgumentError(absl::StrCat("tensor '", name, "' is missing"));
  if (info->dtype != dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "': expected ", DTypeName(dtype), ", found ", DTypeName(info->dtype)));
  }
  ++*used;
  return file.Bytes(*info);
}

}  // namespace

std::string DescribeCache(const RowCache& cache) {
  return absl::StrCat(cache.bits, " ", cache.pool ? 1 : 0, cache.bits_of_set.empty() ? "" : " ",
                      absl::StrJoin(cache.bits_of_set, " "));
}

absl::Status AddCache(const std::string& name, const RowCache& cache, SafetensorsWriter* writer) {
  EAQ_RETURN_IF_ERROR(ValidateRowCache(cache));
  const int64_t n = cache.rows.size();
  std::string numbers;
  for (const int32_t row : cache.rows) {
    numbers.append(reinterpret_cast<const char*>(&row), ShortNumbers(cache.out) ? 2 : 4);  // little-endian
  }
  EAQ_RETURN_IF_ERROR(writer->AddBytes(name + ".cache_rows", ShortNumbers(cache.out) ? DType::kU16 : DType::kU32, {n},
                                       std::move(numbers)));
  EAQ_RETURN_IF_ERROR(
      writer->AddBytes(name + ".cache", DType::kF16, {n, cache.cols},
                       std::string(reinterpret_cast<const char*>(cache.values.data()), 2 * cache.values.size())));
  if (!cache.pool) return absl::OkStatus();
  EAQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> pool, PatchPool(cache));
  return writer->AddBytes(name + ".patches", DType::kU8, {static_cast<int64_t>(pool.size())},
                          std::string(pool.begin(), pool.end()));
}

absl::StatusOr<RowCache> ReadCache(const SafetensorsFile& file, const std::string& name, absl::string_view description,
                                   const PackedMatrix& weight, int64_t* used) {
  std::vector<int> numbers;
  for (const absl::string_view word : absl::StrSplit(description, ' ')) {
    if (!absl::SimpleAtoi(word, &numbers.emplace_back())) numbers.clear();
  }
  if (numbers.size() < 2 || numbers[1] < 0 || numbers[1] > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("cache '", description, "'; expected 'bits pool width width ...', e.g. '0 1 8 4'"));
  }
  RowCache cache;
  cache.grid = WithBits(weight.grid, 8);
  cache.out = weight.rows;
  cache.cols = weight.cols;
  cache.bits = numbers[0];
  cache.pool = numbers[1] == 1;
  cache.bits_of_set.assign(numbers.begin() + 2, numbers.end());
  const size_t width = ShortNumbers(cache.out) ? 2 : 4;
  EAQ_ASSIGN_OR_RETURN(const absl::string_view rows,
                       Bytes(file, name + ".cache_rows", width == 2 ? DType::kU16 : DType::kU32, used));
  cache.rows.resize(rows.size() / width);
  for (size_t i = 0; i < cache.rows.size(); ++i) {
    uint32_t row = 0;
    std::memcpy(&row, rows.data() + width * i, width);
    cache.rows[i] = static_cast<int32_t>(row);  // out of range: ValidateRowCache's to find
  }
  EAQ_ASSIGN_OR_RETURN(const absl::string_view values, Bytes(file, name + ".cache", DType::kF16, used));
  cache.values.resize(values.size() / 2);
  if (!values.empty()) std::memcpy(cache.values.data(), values.data(), 2 * cache.values.size());
  EAQ_RETURN_IF_ERROR(ValidateRowCache(cache));
  if (!cache.pool) return cache;
  EAQ_ASSIGN_OR_RETURN(const absl::string_view patches, Bytes(file, name + ".patches", DType::kU8, used));
  EAQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> pool, PatchPool(cache));
  if (patches == absl::string_view(reinterpret_cast<const char*>(pool.data()), pool.size())) return cache;
  return absl::InvalidArgumentError(absl::StrCat("tensor '", name, ".patches' does not hold the cached rows at ",
                                                 cache.bits, " bits; expected ", pool.size(), " bytes, found ",
                                                 patches.size()));
}

}  // namespace eaq

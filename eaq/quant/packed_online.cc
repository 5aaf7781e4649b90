#include "eaq/quant/packed_online.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_macros.h"
#include "eaq/tensor/f16.h"

namespace eaq {
namespace {

constexpr int64_t kShortPermutation = 65536;  // up to here an entry has 16 bits

absl::StatusOr<std::string> F16Bytes(absl::Span<const float> values) {
  std::string bytes;
  for (const float value : values) {
    const uint16_t half = FloatToF16(value);
    if (F16ToFloat(half) != value) {
      return absl::InvalidArgumentError(absl::StrCat("the number ", value, " is not a float16; make steps by ",
                                                     "OnlineStep::Divide and Rotate, which round"));
    }
    bytes.append(reinterpret_cast<const char*>(&half), sizeof(half));
  }
  return bytes;
}

template <typename T>
std::string EntryBytes(const std::vector<int32_t>& entries) {
  std::string bytes;
  for (const int32_t entry : entries) {
    const T stored = static_cast<T>(entry);
    bytes.append(reinterpret_cast<const char*>(&stored), sizeof(stored));
  }
  return bytes;
}

absl::Status AddStep(const std::string& name, const OnlineStep& step, SafetensorsWriter* writer) {
  switch (step.kind) {
    case OnlineStep::Kind::kDivide: {
      EAQ_ASSIGN_OR_RETURN(std::string bytes, F16Bytes(step.divisors));
      return writer->AddBytes(name + ".divisors", DType::kF16, {static_cast<int64_t>(step.divisors.size())},
                              std::move(bytes));
    }
    case OnlineStep::Kind::kRotate: {
      EAQ_ASSIGN_OR_RETURN(std::string bytes, F16Bytes(step.rotation.values()));
      return writer->AddBytes(name + ".rotation", DType::kF16, {step.rotation.rows(), step.rotation.cols()},
                              std::move(bytes));
    }
    case OnlineStep::Kind::kPermute: {
      const int64_t entries = step.permutation.size();
      const bool small = entries <= kShortPermutation;
      return writer->AddBytes(name + ".permutation", small ? DType::kU16 : DType::kU32, {entries},
                              small ? EntryBytes<uint16_t>(step.permutation) : EntryBytes<uint32_t>(step.permutation));
    }
    case OnlineStep::Kind::kHadamard:
      return absl::OkStatus();
  }
  return absl::InternalError("unknown kind of step");
}

absl::StatusOr<absl::string_view> Bytes(const SafetensorsFile& file, const std::string& name,
                                        std::initializer_list<DType> dtypes, const TensorInfo** info, int64_t* used) {
  *info = file.Find(name);
  if (*info == nullptr) return absl::InvalidArgumentError(absl::StrCat("tensor '", name, "' is missing"));
  for (const DType dtype : dtypes) {
    if ((*info)->dtype != dtype) continue;
    ++*used;
    return file.Bytes(**info);
  }
  return absl::InvalidArgumentError(absl::StrCat("tensor '", name, "': expected ", DTypeName(*dtypes.begin()),
                                                 ", found ", DTypeName((*info)->dtype)));
}

std::vector<float> Halves(absl::string_view bytes) {
  std::vector<float> values(bytes.size() / 2);
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, bytes.data() + 2 * i, sizeof(half));
    values[i] = F16ToFloat(half);
  }
  return values;
}

absl::StatusOr<OnlineStep> ReadStep(const SafetensorsFile& file, const std::string& name, absl::string_view text,
                                    int64_t* used) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  const TensorInfo* info = nullptr;
  OnlineStep step;
  int64_t size = 0;
  if (words[0] == "divide" && words.size() == 1) {
    EAQ_ASSIGN_OR_RETURN(const absl::string_view bytes, Bytes(file, name + ".divisors", {DType::kF16}, &info, used));
    step.kind = OnlineStep::Kind::kDivide;
    step.divisors = Halves(bytes);
    return step;
  }
  if (words[0] == "rotate" && words.size() == 2 && absl::SimpleAtoi(words[1], &size)) {
    EAQ_ASSIGN_OR_RETURN(const absl::string_view bytes, Bytes(file, name + ".rotation", {DType::kF16}, &info, used));
    if (size < 1 || size > (int64_t{1} << 20) || static_cast<int64_t>(bytes.size()) != 2 * size * size) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", name, ".rotation' has ", bytes.size(), " bytes; expected 2 * ", size, "^2"));
    }
    step.kind = OnlineStep::Kind::kRotate;
    step.rotation = Matrix(size, size);
    const std::vector<float> values = Halves(bytes);
    std::copy(values.begin(), values.end(), step.rotation.data());
    return step;
  }
  if (words[0] == "permute" && words.size() == 1) {
    EAQ_ASSIGN_OR_RETURN(const absl::string_view bytes,
                         Bytes(file, name + ".permutation", {DType::kU16, DType::kU32}, &info, used));
    const size_t width = info->dtype == DType::kU16 ? 2 : 4;
    step.kind = OnlineStep::Kind::kPermute;
    step.permutation.resize(bytes.size() / width);
    if ((static_cast<int64_t>(step.permutation.size()) > kShortPermutation) != (width == 4)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor '", name, ".permutation': ", step.permutation.size(),
                                                     " entries of ", 8 * width, " bits; 32 bits are for more than ",
                                                     kShortPermutation, " entries"));
    }
    for (size_t i = 0; i < step.permutation.size(); ++i) {
      uint32_t entry = 0;
      std::memcpy(&entry, bytes.data() + width * i, width);  // little-endian
      step.permutation[i] = static_cast<int32_t>(entry);     // out of range: Validate's to find
    }
    return step;
  }
  if (words[0] == "hadamard" && words.size() == 3 && absl::SimpleAtoi(words[1], &step.block) &&
      absl::SimpleAtoi(words[2], &step.stride)) {
    step.kind = OnlineStep::Kind::kHadamard;
    return step;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "'; expected 'divide', 'rotate SIZE', 'permute' or 'hadamard BLOCK STRIDE'"));
}

std::string StepName(const std::string& name, size_t step) { return absl::StrCat(name, ".", step); }

}  // namespace

std::string DescribeOnline(const OnlineTransform& online) {
  std::vector<std::string> words;
  for (const OnlineStep& step : online.steps) {
    switch (step.kind) {
      case OnlineStep::Kind::kDivide:
        words.push_back("divide");
        break;
      case OnlineStep::Kind::kRotate:
        words.push_back(absl::StrCat("rotate ", step.rotation.rows()));
        break;
      case OnlineStep::Kind::kPermute:
        words.push_back("permute");
        break;
      case OnlineStep::Kind::kHadamard:
        words.push_back(absl::StrCat("hadamard ", step.block, " ", step.stride));
        break;
    }
  }
  return absl::StrJoin(words, ", ");
}

absl::Status AddOnline(const std::string& name, const OnlineTransform& online, SafetensorsWriter* writer) {
  if (online.steps.empty()) return absl::InvalidArgumentError("an online transform without steps");
  for (size_t i = 0; i < online.steps.size(); ++i) {
    EAQ_RETURN_IF_ERROR(
        Annotate(AddStep(StepName(name, i), online.steps[i], writer), absl::StrCat("online transform, step ", i + 1)));
  }
  return absl::OkStatus();
}

absl::StatusOr<OnlineTransform> ReadOnline(const SafetensorsFile& file, const std::string& name,
                                           absl::string_view description, int64_t* used) {
  OnlineTransform online;
  for (const absl::string_view text : absl::StrSplit(description, ", ")) {
    const size_t i = online.steps.size();
    absl::StatusOr<OnlineStep> step = ReadStep(file, StepName(name, i), text, used);
    if (!step.ok()) return Annotate(step.status(), absl::StrCat("online transform, step ", i + 1));
    online.steps.push_back(*std::move(step));
  }
  return online;
}

}  // namespace eaq

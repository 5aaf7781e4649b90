// Reads one safetensors file: 8 bytes of header length (little-endian), a JSON header, the tensor bytes.
//
//   EAQ_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open("model.safetensors"));
//   const TensorInfo* info = file->Find("model.norm.weight");
//   absl::string_view raw = file->Bytes(*info);        // no copy; valid while FILE lives
//
// The file is mapped, so opening costs the header only. Everything is checked before anything is used: length and
// UTF-8 of the header, its JSON (depth 8, no key twice), known dtypes, shapes without overflow, and that the tensors
// tile the data without hole, overlap or rest. Stricter than the reference reader in two points: a name that occurs
// twice is refused (two readers would disagree), and the header must start with '{'.
// Format: https://github.com/huggingface/safetensors (May 2026).
#ifndef EAQ_CHECKPOINT_SAFETENSORS_H_
#define EAQ_CHECKPOINT_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/base/file.h"
#include "eaq/checkpoint/dtype.h"

namespace eaq {

struct TensorInfo {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // empty: a scalar
  uint64_t begin = 0;          // relative to the first byte after the header
  uint64_t end = 0;

  int64_t elements() const;  // product of the shape; 1 for a scalar
};

// "[64, 2048]"
std::string ShapeString(absl::Span<const int64_t> shape);

struct SafetensorsHeader {
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
  uint64_t data_begin = 0;  // offset in the file of the first tensor byte
};

// Parses and checks the header of FILE_BYTES, a whole file. InvalidArgument says what is wrong.
absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::string_view file_bytes);

class SafetensorsFile {
 public:
  // Errors name the path.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Open(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const std::map<std::string, TensorInfo>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  const TensorInfo* Find(const std::string& name) const;  // nullptr when absent
  // The bytes of one of this file's tensors, row-major, little-endian, possibly unaligned.
  absl::string_view Bytes(const TensorInfo& info) const;
  // FailedPrecondition when the file changed its size since it was opened; ask before reading much.
  absl::Status CheckUnchanged() const { return file_->CheckUnchanged(); }

 private:
  SafetensorsFile() = default;
  std::shared_ptr<const MappedFile> file_;
  SafetensorsHeader header_;
};

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_SAFETENSORS_H_

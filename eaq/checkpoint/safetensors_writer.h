// Writes one safetensors file: all or nothing, and the same bytes for the same contents.
//
//   SafetensorsWriter writer;
//   writer.Add("model.norm.weight", DType::kBF16, {hidden}, values);
//   writer.SetMetadata("format", "pt");
//   EAQ_RETURN_IF_ERROR(writer.Write("model.safetensors"));
//
// Tensors are ordered by falling element size, then by name, and the header is padded with spaces to a multiple of 8,
// so that every tensor is aligned: the layout of the reference writer.
#ifndef EAQ_CHECKPOINT_SAFETENSORS_WRITER_H_
#define EAQ_CHECKPOINT_SAFETENSORS_WRITER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eaq/checkpoint/dtype.h"

namespace eaq {

class SafetensorsWriter {
 public:
  // Values rounded to DTYPE (F32, F16 or BF16; ties to even). VALUES must hold as many numbers as SHAPE says.
  // InvalidArgument for another dtype, a wrong count or a name used twice.
  absl::Status Add(const std::string& name, DType dtype, std::vector<int64_t> shape, absl::Span<const float> values);
  // Bytes as they are, of any dtype with whole bytes (packed codes: U8, ids: I64).
  absl::Status AddBytes(const std::string& name, DType dtype, std::vector<int64_t> shape, std::string bytes);
  void SetMetadata(const std::string& key, const std::string& value) { metadata_[key] = value; }

  // The whole file.
  std::string Serialize() const;
  // Serialize() to PATH through WriteFileAtomic.
  absl::Status Write(const std::string& path) const;

 private:
  struct Tensor {
    DType dtype;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_SAFETENSORS_WRITER_H_

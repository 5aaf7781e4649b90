// All packed linears of a model in one safetensors file (docs/formats/packed_weights.md). Keys are linear names
// ("L3.e7.down", LinearId::ToString()).
//
//   PackedModel model;
//   model.linears["L0.q"] = packed;
//   EAQ_RETURN_IF_ERROR(WritePackedModel(path, model));
//   EAQ_ASSIGN_OR_RETURN(PackedModel back, ReadPackedModel(path));       // back == model
//
// The tensors of the file hold exactly the bytes of the size account; only the file's JSON header comes on top.
#ifndef EAQ_QUANT_PACKED_FILE_H_
#define EAQ_QUANT_PACKED_FILE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eaq/quant/packing.h"

namespace eaq {

struct PackedModel {
  std::map<std::string, PackedMatrix> linears;
  std::map<std::string, std::string>
      metadata;  // free text for people: recipe, model, ...; keys must not start with "eaq."
  friend bool operator==(const PackedModel&, const PackedModel&) = default;
};

// All or nothing, the same bytes for the same model. InvalidArgument: a linear that is not valid (named), a reserved
// metadata key. Errors of the disk name the path.
absl::Status WritePackedModel(const std::string& path, const PackedModel& model);

// Everything is checked: InvalidArgument names the file, the linear and what is wrong (unknown version or grid, missing
// or superfluous tensors, shapes that disagree, scales of 0, group indices out of range).
absl::StatusOr<PackedModel> ReadPackedModel(const std::string& path);

// Bytes of all tensors in a safetensors file, without its header.
absl::StatusOr<int64_t> TensorBytesInFile(const std::string& path);

}  // namespace eaq

#endif  // EAQ_QUANT_PACKED_FILE_H_

// All packed linears of a model in one safetensors file (docs/formats/packed_weights.md). Keys are linear names
// ("L3.e7.down", LinearId::ToString()).
//
//   PackedModel model;
//   model.linears["L0.q"] = packed;
//   model.SetOnline("L0.q", linear.online);                              // where a transform left work for run time
//   EAQ_RETURN_IF_ERROR(WritePackedModel(path, model));
//   EAQ_ASSIGN_OR_RETURN(PackedModel back, ReadPackedModel(path));       // back == model
//
//   model.caches["L0.e3.up"] = cache;   model.sets = {"prose", "code"};     // of a model that switches by data set
//   EAQ_RETURN_IF_ERROR(model.SwitchTo("code"));
//
// The tensors of the file hold exactly the bytes of the size account, online transforms and caches included; only the
// file's JSON header comes on top.
#ifndef EAQ_QUANT_PACKED_FILE_H_
#define EAQ_QUANT_PACKED_FILE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/model/online.h"
#include "eaq/model/routing_policy.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/row_cache.h"

namespace eaq {

struct PackedModel {
  std::map<std::string, PackedMatrix> linears;
  std::map<std::string, std::string>
      metadata;  // free text for people: recipe, model, ...; keys must not start with "eaq."
  // What the inputs of linears go through first. Linears that share an object share its place in the file.
  std::vector<std::shared_ptr<const OnlineTransform>> transforms;
  std::map<std::string, int64_t> transform_of;  // linear -> index into TRANSFORMS

  // Rows kept in float16 by linear, and the data sets that their widths are for (RowCache::bits_of_set).
  std::map<std::string, RowCache> caches;
  std::vector<std::string> sets;

  // What layers leave out of their mixtures, by layer. The linears of experts that are not kept are not in the file.
  std::map<int, RoutingPolicy> routing;

  // Puts the widths for the data set SET in place in all caches; "": none, the rows as they were rounded. NotFound
  // names the sets that there are; the model is then as it was.
  absl::Status SwitchTo(absl::string_view set);

  // Null: nothing.
  void SetOnline(const std::string& linear, const std::shared_ptr<const OnlineTransform>& online);
  // The linear's transform, or null.
  std::shared_ptr<const OnlineTransform> OnlineOf(const std::string& linear) const;

  // Transforms are compared by what they hold.
  friend bool operator==(const PackedModel& a, const PackedModel& b);
};

// All or nothing, the same bytes for the same model. InvalidArgument: a linear or transform that is not valid (named),
// a transform or cache that belongs to no linear, a reserved metadata key. Errors of the disk name the path.
absl::Status WritePackedModel(const std::string& path, const PackedModel& model);

// Everything is checked: InvalidArgument names the file, the linear and what is wrong (unknown version or grid, missing
// or superfluous tensors, shapes that disagree, scales of 0, group indices out of range, transforms that do not fit).
absl::StatusOr<PackedModel> ReadPackedModel(const std::string& path);

// Bytes of all tensors in a safetensors file, without its header.
absl::StatusOr<int64_t> TensorBytesInFile(const std::string& path);

}  // namespace eaq

#endif  // EAQ_QUANT_PACKED_FILE_H_

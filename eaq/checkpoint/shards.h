// The tensors of a checkpoint folder, in one file (model.safetensors) or in shards (model.safetensors.index.json).
#ifndef EAQ_CHECKPOINT_SHARDS_H_
#define EAQ_CHECKPOINT_SHARDS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/checkpoint/safetensors.h"

namespace eaq {

class TensorStore {
 public:
  struct Entry {
    std::shared_ptr<const SafetensorsFile> file;
    TensorInfo info;
  };

  // Refuses an index that names a file outside of the folder, a missing shard, a tensor missing from its shard or
  // present in two. Errors name the file.
  static absl::StatusOr<TensorStore> Open(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const std::map<std::string, Entry>& tensors() const { return tensors_; }
  bool Has(const std::string& name) const { return tensors_.contains(name); }
  // Tensors of a shard that the index does not mention; ignored.
  const std::vector<std::string>& unlisted() const { return unlisted_; }

  // NotFound or InvalidArgument (expected and found shape, file) unless tensor NAME exists with SHAPE and a supported
  // float dtype. Touches no data.
  absl::Status Check(const std::string& name, absl::Span<const int64_t> shape) const;
  // Elements [begin, begin + out.size()) of tensor NAME in row-major order, widened to float32.
  absl::Status Read(const std::string& name, int64_t begin, absl::Span<float> out) const;

 private:
  std::string folder_;
  std::map<std::string, Entry> tensors_;
  std::vector<std::string> unlisted_;
};

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_SHARDS_H_

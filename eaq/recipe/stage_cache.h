// StageCache: results of stages on disk under the hash of their inputs, shared by all trials and processes. It only
// saves time: an entry that is missing, torn or altered is computed again, and deleting the folder changes nothing
// else.
//
//   StageCache cache(folder);                         // "" : off
//   const std::string key = Fingerprint("profile/v1").Add(...).Hex();
//   std::optional<std::string> bytes = cache.Get(key);
//   if (!bytes) cache.Put(key, Compute());
#ifndef EAQ_RECIPE_STAGE_CACHE_H_
#define EAQ_RECIPE_STAGE_CACHE_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace eaq {

class StageCache {
 public:
  // FOLDER is created when the first entry is written. An empty name switches the cache off.
  explicit StageCache(std::string folder) : folder_(std::move(folder)) {}

  // The bytes stored under KEY (hex digits). An entry whose checksum does not match is removed and counts as absent.
  std::optional<std::string> Get(absl::string_view key) const;
  // Stores BYTES; a full disk or a read-only folder leaves no entry and no error, since nothing depends on it.
  void Put(absl::string_view key, absl::string_view bytes) const;

  int64_t hits() const { return hits_; }
  int64_t damaged() const { return damaged_; }  // entries that were removed

 private:
  std::string PathOf(absl::string_view key) const;
  const std::string folder_;
  mutable std::atomic<int64_t> hits_{0}, damaged_{0};
};

}  // namespace eaq

#endif  // EAQ_RECIPE_STAGE_CACHE_H_

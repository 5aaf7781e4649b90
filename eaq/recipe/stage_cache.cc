#include "eaq/recipe/stage_cache.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"

namespace eaq {
namespace {

constexpr size_t kDigest = 64;  // hex digits of SHA-256 in front of the payload

}  // namespace

std::string StageCache::PathOf(absl::string_view key) const {
  return JoinPath(JoinPath(folder_, key.substr(0, 2)), key);
}

std::optional<std::string> StageCache::Get(absl::string_view key) const {
  if (folder_.empty()) return std::nullopt;
  const std::string path = PathOf(key);
  absl::StatusOr<std::string> entry = ReadFile(path);
  if (!entry.ok()) return std::nullopt;
  if (entry->size() >= kDigest &&
      absl::string_view(*entry).substr(0, kDigest) == Sha256Hex(absl::string_view(*entry).substr(kDigest))) {
    ++hits_;
    return entry->substr(kDigest);
  }
  ++damaged_;
  RemoveFile(path).IgnoreError();  // computed again either way
  return std::nullopt;
}

void StageCache::Put(absl::string_view key, absl::string_view bytes) const {
  if (folder_.empty()) return;
  const std::string path = PathOf(key);
  if (!MakeDirectories(Dirname(path)).ok()) return;
  WriteFileAtomic(path, absl::StrCat(Sha256Hex(bytes), bytes)).IgnoreError();
}

}  // namespace eaq

// A stage whose result may be in the cache: looked up, else made; either way the same result and the same hash.
#ifndef EAQ_RECIPE_CACHED_STAGE_H_
#define EAQ_RECIPE_CACHED_STAGE_H_

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/base/hash.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/recipe/stage_cache.h"

namespace eaq {

// The result under KEY, else what MAKE gives, which is stored. RUN receives the name STAGE, the SHA-256 of the result's
// bytes, the seconds and whether the cache had it. An entry that PARSE refuses counts as absent. Errors are MAKE's.
template <typename T>
absl::StatusOr<T> CachedStage(const StageCache& cache, const std::string& stage, const std::string& key,
                              absl::FunctionRef<absl::StatusOr<T>()> make,
                              absl::FunctionRef<std::string(const T&)> to_bytes,
                              absl::FunctionRef<absl::StatusOr<T>(absl::string_view)> parse, StageRun& run) {
  const auto start = std::chrono::steady_clock::now();
  std::optional<T> result;
  std::optional<std::string> bytes = cache.Get(key);
  if (bytes) {
    absl::StatusOr<T> parsed = parse(*bytes);
    if (parsed.ok()) result = *std::move(parsed);
  }
  const bool hit = result.has_value();
  if (!hit) {
    EAQ_ASSIGN_OR_RETURN(result, make());
    bytes = to_bytes(*result);
    cache.Put(key, *bytes);
  }
  run.set_stage(stage);
  run.set_hash(Sha256Hex(*bytes));
  run.set_seconds(SecondsSince(start));
  run.set_from_cache(hit);
  return *std::move(result);
}

}  // namespace eaq

#endif  // EAQ_RECIPE_CACHED_STAGE_H_

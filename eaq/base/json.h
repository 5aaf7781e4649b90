// Strict JSON of files from outside: nlohmann::json behind limits and a Status. Include it in .cc files only.
#ifndef EAQ_BASE_JSON_H_
#define EAQ_BASE_JSON_H_

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  int max_depth = 64;  // nested arrays and objects
};

// Parses TEXT whole. InvalidArgument with the byte offset when it is not UTF-8, not JSON, nested deeper than the
// limit, holds an object with a key twice, or has anything but white space after the value. Integers that do not fit
// 64 bits arrive as floating point (is_number_integer() is false), never wrapped.
absl::StatusOr<Json> ParseJson(absl::string_view text, const JsonLimits& limits = {});

}  // namespace eaq

#endif  // EAQ_BASE_JSON_H_

// Typed access to the fields of a parsed tokenizer.json, with messages that say which field of what is wrong.
#ifndef EAQ_TEXT_JSON_FIELDS_H_
#define EAQ_TEXT_JSON_FIELDS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/base/json.h"

namespace eaq {

// The field KEY of the object JSON; `where` names the object in messages. InvalidArgument when JSON is no object or the
// field is missing or of another type.
absl::StatusOr<std::string> StringField(const Json& json, absl::string_view key, absl::string_view where);
absl::StatusOr<const Json*> ArrayField(const Json& json, absl::string_view key, absl::string_view where);
absl::StatusOr<const Json*> ObjectField(const Json& json, absl::string_view key, absl::string_view where);
absl::StatusOr<int64_t> IntField(const Json& json, absl::string_view key, absl::string_view where);
// Missing or null gives `fallback`.
absl::StatusOr<bool> BoolField(const Json& json, absl::string_view key, bool fallback, absl::string_view where);
absl::StatusOr<std::string> OptionalString(const Json& json, absl::string_view key, absl::string_view where);

// "pattern": {"String": "..."}, not empty.
absl::StatusOr<std::string> StringPattern(const Json& json, absl::string_view where);

}  // namespace eaq

#endif  // EAQ_TEXT_JSON_FIELDS_H_

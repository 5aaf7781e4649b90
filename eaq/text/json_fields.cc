#include "eaq/text/json_fields.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

absl::Status Wrong(absl::string_view where, absl::string_view key, absl::string_view expected, const Json* found) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": field \"", key, "\": expected ", expected, ", found ",
                                                 found == nullptr ? "nothing" : found->type_name()));
}

absl::StatusOr<const Json*> Find(const Json& json, absl::string_view key, absl::string_view where) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": expected an object, found ", json.type_name()));
  }
  const auto it = json.find(std::string(key));
  return it == json.end() ? nullptr : &*it;
}

}  // namespace

absl::StatusOr<std::string> StringField(const Json& json, absl::string_view key, absl::string_view where) {
  EAQ_ASSIGN_OR_RETURN(const Json* field, Find(json, key, where));
  if (field == nullptr || !field->is_string()) return Wrong(where, key, "a string", field);
  return field->get<std::string>();
}

absl::StatusOr<const Json*> ArrayField(const Json& json, absl::string_view key, absl::string_view where) {
  EAQ_ASSIGN_OR_RETURN(const Json* field, Find(json, key, where));
  if (field == nullptr || !field->is_array()) return Wrong(where, key, "an array", field);
  return field;
}

absl::StatusOr<const Json*> ObjectField(const Json& json, absl::string_view key, absl::string_view where) {
  EAQ_ASSIGN_OR_RETURN(const Json* field, Find(json, key, where));
  if (field == nullptr || !field->is_object()) return Wrong(where, key, "an object", field);
  return field;
}

absl::StatusOr<int64_t> IntField(const Json& json, absl::string_view key, absl::string_view where) {
  EAQ_ASSIGN_OR_RETURN(const Json* field, Find(json, key, where));
  if (field == nullptr || !field->is_number_integer()) return Wrong(where, key, "an integer", field);
  if (field->is_number_unsigned() && field->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return Wrong(where, key, "an integer below 2^63", field);
  }
  return field->get<int64_t>();
}

absl::StatusOr<bool> BoolField(const Json& json, absl::string_view key, bool fallback, absl::string_view where) {
  EAQ_ASSIGN_OR_RETURN(const Json* field, Find(json, key, where));
  if (field == nullptr || field->is_null()) return fallback;
  if (!field->is_boolean()) return Wrong(where, key, "true or false", field);
  return field->get<bool>();
}

absl::StatusOr<std::string> OptionalString(const Json& json, absl::string_view key, absl::string_view where) {
  EAQ_ASSIGN_OR_RETURN(const Json* field, Find(json, key, where));
  if (field == nullptr || field->is_null()) return std::string();
  if (!field->is_string()) return Wrong(where, key, "a string or null", field);
  return field->get<std::string>();
}

absl::StatusOr<std::string> StringPattern(const Json& json, absl::string_view where) {
  EAQ_ASSIGN_OR_RETURN(const Json* pattern, ObjectField(json, "pattern", where));
  if (pattern->contains("Regex")) {
    return absl::UnimplementedError(absl::StrCat(where, ": a regular expression as pattern is not supported here"));
  }
  EAQ_ASSIGN_OR_RETURN(std::string text, StringField(*pattern, "String", absl::StrCat(where, ", pattern")));
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": the pattern is empty"));
  return text;
}

}  // namespace eaq

#include "experiments/field_path.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_macros.h"
#include "experiments/did_you_mean.h"

namespace eaq {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string& message) override {
    if (text.empty()) text = message;
  }
  std::string text;
};

absl::Status Assign(Message& message, const FieldDescriptor* field, absl::string_view value) {
  message.GetReflection()->ClearField(&message, field);
  std::string text(value);
  if (field->message_type() != nullptr && !absl::StartsWith(text, "{")) text = absl::StrCat("{", text, "}");
  FirstError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFieldValueFromString(text, field, &message)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", value, "\" is no value of ", field->full_name(), ": ", error.text));
}

// Of TO, the lists that FROM holds too.
void ClearLists(const Message& from, Message& to) {
  std::vector<const FieldDescriptor*> fields;
  from.GetReflection()->ListFields(from, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) {
      to.GetReflection()->ClearField(&to, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && to.GetReflection()->HasField(to, field)) {
      ClearLists(from.GetReflection()->GetMessage(from, field), *to.GetReflection()->MutableMessage(&to, field));
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<const FieldDescriptor*>> ResolvePath(const Descriptor* type, absl::string_view path) {
  std::vector<const FieldDescriptor*> fields;
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    if (type == nullptr) {
      return absl::NotFoundError(absl::StrCat(fields.back()->name(), " is a scalar and has no field \"", part, "\""));
    }
    const FieldDescriptor* field = type->FindFieldByName(std::string(part));
    if (field == nullptr) {
      std::vector<std::string> known;
      for (int i = 0; i < type->field_count(); ++i) known.push_back(type->field(i)->name());
      return absl::NotFoundError(
          absl::StrCat(type->full_name(), " has no field \"", part, "\"", Suggestion(part, known)));
    }
    fields.push_back(field);
    type = field->message_type();
  }
  return fields;
}

absl::Status SetAt(Message& message, absl::Span<const PathStep> path, absl::string_view value) {
  Message* at = &message;
  for (const PathStep& step : path.subspan(0, path.size() - 1)) {
    const Reflection* reflection = at->GetReflection();
    if (step.field->is_repeated()) {
      if (step.index < 0 || step.index >= reflection->FieldSize(*at, step.field)) {
        return absl::InternalError(absl::StrCat("no element ", step.index, " of ", step.field->name()));
      }
      at = reflection->MutableRepeatedMessage(at, step.field, step.index);
    } else {
      at = reflection->MutableMessage(at, step.field);
    }
  }
  return Assign(*at, path.back().field, value);
}

absl::StatusOr<int> SetWhereItFits(Message& message, absl::Span<const FieldDescriptor* const> path,
                                   absl::string_view value) {
  const FieldDescriptor* field = path[0];
  const Reflection* reflection = message.GetReflection();
  if (path.size() == 1) {
    if (field->is_repeated()) {
      return absl::InvalidArgumentError(absl::StrCat(field->name(), " is a list; vary a field of its elements"));
    }
    EAQ_RETURN_IF_ERROR(Assign(message, field, value));
    return 1;
  }
  if (field->is_repeated()) {
    int places = 0;
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      EAQ_ASSIGN_OR_RETURN(
          const int n, SetWhereItFits(*reflection->MutableRepeatedMessage(&message, field, i), path.subspan(1), value));
      places += n;
    }
    return places;
  }
  if (field->containing_oneof() != nullptr && !reflection->HasField(message, field)) return 0;
  return SetWhereItFits(*reflection->MutableMessage(&message, field), path.subspan(1), value);
}

void WriteOver(const Message& over, Message& merged) {
  ClearLists(over, merged);
  merged.MergeFrom(over);
}

}  // namespace eaq

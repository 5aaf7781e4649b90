#include "eaq/ledger/trial_key.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <memory>
#include <set>
#include <vector>

#include "eaq/base/hash.h"
#include "eaq/proto/any_message.h"

namespace eaq {
namespace {

using google::protobuf::Any;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Where a text of the user's lies is a label, since corpus_hash stands for what it says. That it is the user's stays:
// default corpora are split in other proportions (text/corpus.cc). Written out when empty, as trial/v1 always did.
constexpr char kCorpusPath[] = "eaq.CorpusRef.path";
constexpr char kOwnText[] = "*";

void Canonicalise(Message& message);

// The payload, decoded, canonicalised and encoded again, where its type is linked into the program.
void CanonicaliseAny(Any& any) {
  if (any.type_url().rfind('/') == std::string::npos) return;
  any.set_type_url("type.googleapis.com/" + AnyTypeName(any));  // the part before the slash has no meaning here
  const std::unique_ptr<Message> payload = UnpackAny(any);
  if (payload == nullptr) return;  // the stage that reads it will say what is wrong
  Canonicalise(*payload);
  any.set_value(SerializeDeterministic(*payload));
}

// Sets an unset scalar to its default, so that it is written out.
void Materialise(Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      reflection->SetInt32(&message, field, field->default_value_int32());
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      reflection->SetInt64(&message, field, field->default_value_int64());
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      reflection->SetUInt32(&message, field, field->default_value_uint32());
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      reflection->SetUInt64(&message, field, field->default_value_uint64());
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      reflection->SetDouble(&message, field, field->default_value_double());
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      reflection->SetFloat(&message, field, field->default_value_float());
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection->SetBool(&message, field, field->default_value_bool());
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      reflection->SetEnum(&message, field, field->default_value_enum());
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(&message, field, field->default_value_string());
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
}

// Whether a scalar that is there holds its default.
bool IsDefault(const Message& message, const FieldDescriptor* field) {
  const std::unique_ptr<Message> other(message.New());
  Materialise(*other, field);
  std::string value, fallback;
  google::protobuf::TextFormat::PrintFieldValueToString(message, field, -1, &value);
  google::protobuf::TextFormat::PrintFieldValueToString(*other, field, -1, &fallback);
  return value == fallback;
}

void Canonicalise(Message& message) {
  if (auto* any = dynamic_cast<Any*>(&message)) {
    CanonicaliseAny(*any);
    return;
  }
  const Descriptor* type = message.GetDescriptor();
  const Reflection* reflection = message.GetReflection();
  for (int f = 0; f < type->field_count(); ++f) {
    const FieldDescriptor* field = type->field(f);
    if (field->full_name() == kCorpusPath) {
      const bool own_text = !reflection->GetString(message, field).empty();
      reflection->SetString(&message, field, own_text ? kOwnText : "");
    } else if (IsLabelField(field->full_name())) {
      reflection->ClearField(&message, field);
    } else if (IsLateField(field->full_name())) {
      if (reflection->HasField(message, field) && IsDefault(message, field)) reflection->ClearField(&message, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field->is_map()) continue;  // SerializeDeterministic sorts the entries
      if (field->is_repeated()) {
        for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
          Canonicalise(*reflection->MutableRepeatedMessage(&message, field, i));
        }
      } else if (reflection->HasField(message, field)) {
        Canonicalise(*reflection->MutableMessage(&message, field));
      }
    } else if (!field->is_repeated() && field->containing_oneof() == nullptr && field->has_presence() &&
               !reflection->HasField(message, field)) {
      Materialise(message, field);
    }
  }
}

}  // namespace

bool IsLabelField(const std::string& field) {
  static const auto* const labels = new std::set<std::string>{
      "eaq.Scheme.name",   "eaq.Recipe.name", "eaq.Recipe.title",        "eaq.ModelRef.name",
      "eaq.ModelRef.path", kCorpusPath,       "eaq.EvaluationTask.path",
  };
  return labels->count(field) > 0;
}

bool IsLateField(const std::string& field) {
  static const auto* const late = new std::set<std::string>{
      "eaq.EvaluationData.split",
      "eaq.EvaluationData.top_k",
      "eaq.Gemq.unit",
      "eaq.Gptq.order",
      "eaq.Gptq.stale_group_grids",
      "eaq.Gptq.zero_dead_columns",
      "eaq.Nearest.fixed_clip_ratio",
      "eaq.Nearest.zero_in_range",
      "eaq.QuantizeRouter.activation_clip_ratio",
      "eaq.QuantizeRouter.fixed_clip_ratio",
      "eaq.TrialSpec.backend",
  };
  return late->count(field) > 0;
}

std::string SerializeDeterministic(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

TrialSpec CanonicalSpec(const TrialSpec& spec) {
  TrialSpec canonical = spec;
  if (canonical.recipe().calibration().has_none()) canonical.clear_calibration();
  Canonicalise(canonical);
  return canonical;
}

std::string TrialKey(const TrialSpec& spec) {
  return Fingerprint("trial/v1").Add(SerializeDeterministic(CanonicalSpec(spec))).Hex();
}

}  // namespace eaq

#include "eaq/report/recipe_fields.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "eaq/ledger/trial_key.h"
#include "eaq/proto/any_message.h"
#include "eaq/proto/trial.pb.h"

namespace eaq::report_internal {
namespace {

using google::protobuf::Any;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

using Fields = std::vector<std::pair<std::string, std::string>>;  // path -> value, in order

std::string ValueText(const Message& message, const FieldDescriptor* field) {
  if (field->message_type() != nullptr && !field->is_repeated() && !message.GetReflection()->HasField(message, field)) {
    return "unset";
  }
  TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  if (field->is_repeated()) {
    for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
      std::string one;
      printer.PrintFieldValueToString(message, field, i, &one);
      absl::StrAppend(&text, text.empty() ? "" : ", ", one);
    }
    return absl::StrCat("[", text, "]");
  }
  printer.PrintFieldValueToString(message, field, -1, &text);
  text = std::string(absl::StripSuffix(text, " "));
  return field->message_type() == nullptr ? text : text.empty() ? "{}" : absl::StrCat("{ ", text, " }");
}

void AddOptions(const std::string& prefix, const Message& options, Fields& out) {
  for (int i = 0; i < options.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = options.GetDescriptor()->field(i);
    out.emplace_back(absl::StrCat(prefix, ".", field->name()), ValueText(options, field));
  }
}

// The kind of the stage in SLOT; its options go to OUT below PREFIX (kind added when WITH_KIND).
std::string AddStage(const std::string& prefix, const Message& slot, bool with_kind, Fields& out) {
  const Reflection* reflection = slot.GetReflection();
  if (slot.GetDescriptor()->oneof_decl_count() == 0) return "none";
  const FieldDescriptor* set = reflection->GetOneofFieldDescriptor(slot, slot.GetDescriptor()->oneof_decl(0));
  if (set == nullptr) return "none";
  const Message& options = reflection->GetMessage(slot, set);
  const auto below = [&](const std::string& kind) { return with_kind ? absl::StrCat(prefix, ".", kind) : prefix; };
  if (set->message_type() != Any::descriptor()) {
    AddOptions(below(set->name()), options, out);
    return set->name();
  }
  const Any& any = static_cast<const Any&>(options);
  const std::string kind = AnyTypeName(any);
  if (const std::unique_ptr<Message> payload = UnpackAny(any)) AddOptions(below(kind), *payload, out);
  return kind;
}

Fields FieldsOf(const Recipe& recipe) {
  TrialSpec spec;  // the canonical form spells all defaults out
  *spec.mutable_recipe() = recipe;
  const Recipe canonical = CanonicalSpec(spec).recipe();
  const Reflection* reflection = canonical.GetReflection();
  Fields out;
  for (int i = 0; i < Recipe::descriptor()->field_count(); ++i) {
    const FieldDescriptor* field = Recipe::descriptor()->field(i);
    if (IsLabelField(field->full_name())) continue;
    if (field->message_type() == nullptr) {
      out.emplace_back(field->name(), ValueText(canonical, field));
      continue;
    }
    Fields options;
    std::vector<std::string> kinds;
    if (field->is_repeated()) {
      for (int k = 0; k < reflection->FieldSize(canonical, field); ++k) {
        kinds.push_back(AddStage(field->name(), reflection->GetRepeatedMessage(canonical, field, k), true, options));
      }
    } else {
      kinds.push_back(AddStage(field->name(), reflection->GetMessage(canonical, field), false, options));
    }
    out.emplace_back(field->name(), kinds.empty() ? "none" : absl::StrJoin(kinds, " then "));
    out.insert(out.end(), options.begin(), options.end());
  }
  return out;
}

}  // namespace

FieldComparison CompareFields(absl::Span<const std::pair<std::string, const Recipe*>> recipes) {
  std::vector<std::string> paths;
  std::vector<Fields> all;
  std::set<std::string> labels;
  for (const auto& [label, recipe] : recipes) {
    labels.insert(label);
    all.push_back(FieldsOf(*recipe));
    auto after = paths.end();
    for (const auto& [path, value] : all.back()) {
      const auto at = std::find(paths.begin(), paths.end(), path);
      after = at == paths.end() ? paths.insert(after, path) + 1 : at + 1;
    }
  }
  FieldComparison out;
  for (const std::string& path : paths) {
    std::vector<std::pair<std::string, std::vector<std::string>>> values;  // value -> labels
    std::set<std::string> have;                                            // labels
    for (size_t i = 0; i < all.size(); ++i) {
      const auto at = std::find_if(all[i].begin(), all[i].end(), [&](const auto& f) { return f.first == path; });
      if (at == all[i].end()) continue;
      have.insert(recipes[i].first);
      auto value = std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.first == at->second; });
      if (value == values.end()) value = values.insert(values.end(), {at->second, {}});
      if (std::find(value->second.begin(), value->second.end(), recipes[i].first) == value->second.end()) {
        value->second.push_back(recipes[i].first);
      }
    }
    if (have.size() < std::min<size_t>(2, labels.size())) continue;
    if (values.size() == 1) {
      out.equal.push_back(absl::StrCat(path, ": ", values[0].first));
      continue;
    }
    out.unequal.push_back(absl::StrCat(path, ": ", absl::StrJoin(values, "; ", [](std::string* o, const auto& v) {
                                         absl::StrAppend(o, v.first, " (", absl::StrJoin(v.second, ", "), ")");
                                       })));
  }
  return out;
}

}  // namespace eaq::report_internal

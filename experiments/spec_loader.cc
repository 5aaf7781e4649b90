#include "experiments/spec_loader.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "eaq/base/status_macros.h"
#include "experiments/did_you_mean.h"

namespace eaq {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

constexpr size_t kMaxBytes = 4 << 20;
constexpr int kRecursionLimit = 64;

// What stands between the first pair of quotes after BEFORE.
std::string Quoted(absl::string_view text, absl::string_view before) {
  const size_t at = text.find(before);
  if (at == absl::string_view::npos) return "";
  text.remove_prefix(at + before.size());
  const size_t open = text.find('"');
  if (open == absl::string_view::npos) return "";
  text.remove_prefix(open + 1);
  return std::string(text.substr(0, text.find('"')));
}

// Names of the values of every enum that a field called NAME can have below TYPE.
void EnumValues(const Descriptor* type, const std::string& name, std::set<const Descriptor*>& seen,
                std::vector<std::string>& values) {
  if (!seen.insert(type).second) return;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->enum_type() != nullptr && field->name() == name) {
      for (int v = 0; v < field->enum_type()->value_count(); ++v) {
        const std::string& value = field->enum_type()->value(v)->name();
        if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
      }
    }
    if (field->message_type() != nullptr) EnumValues(field->message_type(), name, seen, values);
  }
}

std::string Hint(const Descriptor* root, const std::string& message) {
  if (absl::StrContains(message, "has no field named")) {
    const Descriptor* type = root->file()->pool()->FindMessageTypeByName(Quoted(message, "Message type"));
    if (type == nullptr) return "";
    std::vector<std::string> fields;
    for (int i = 0; i < type->field_count(); ++i) fields.push_back(type->field(i)->name());
    return Suggestion(Quoted(message, "has no field named"), fields);
  }
  if (absl::StrContains(message, "Unknown enumeration value of")) {
    std::set<const Descriptor*> seen;
    std::vector<std::string> values;
    EnumValues(root, Quoted(message, "for field"), seen, values);
    return Suggestion(Quoted(message, "Unknown enumeration value of"), values);
  }
  return "";
}

class Collector : public google::protobuf::io::ErrorCollector {
 public:
  Collector(const SpecSource& source, const Descriptor* root) : source_(source), root_(root) {}
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    if (++errors_ > 5) return;  // the rest mostly follows from the first
    const std::string hint = Hint(root_, message);
    absl::string_view what = message;
    if (!hint.empty()) absl::ConsumeSuffix(&what, ".");
    // Protobuf complains of a wrong name when it has read past it: point at the name.
    SpecPosition at{line, column};
    const std::string name = Quoted(message, "has no field named");
    if (!name.empty()) at = source_.LastBefore(at, name);
    absl::StrAppend(&text_, text_.empty() ? "" : "\n", source_.Describe(at, absl::StrCat(what, hint)));
  }
  absl::Status status() const {
    return absl::InvalidArgumentError(text_.empty() ? source_.name() + ": not a valid text" : text_);
  }

 private:
  const SpecSource& source_;
  const Descriptor* root_;
  std::string text_;
  int errors_ = 0;
};

absl::Status Parse(const SpecSource& source, const std::string& text, Message& message,
                   TextFormat::ParseInfoTree* places) {
  Collector collector(source, message.GetDescriptor());
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.SetRecursionLimit(kRecursionLimit);
  if (places != nullptr) parser.WriteLocationsTo(places);
  google::protobuf::io::ArrayInputStream input(text.data(), text.size());
  return parser.Parse(&input, &message) ? absl::OkStatus() : collector.status();
}

// The first double that is not finite.
absl::Status CheckFinite(const SpecSource& source, const Message& message, const TextFormat::ParseInfoTree* places) {
  std::vector<const FieldDescriptor*> fields;
  const google::protobuf::Reflection* reflection = message.GetReflection();
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int n = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < n; ++i) {
      const int index = field->is_repeated() ? i : -1;
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        const double value =
            index < 0 ? reflection->GetDouble(message, field) : reflection->GetRepeatedDouble(message, field, i);
        if (std::isfinite(value)) continue;
        SpecPosition at;
        if (places != nullptr) {
          const TextFormat::ParseLocation location = places->GetLocation(field, index);
          at = {location.line, location.column};
        }
        return source.Error(at, absl::StrCat(field->name(), ": ", value, " is no finite number"));
      }
      if (field->message_type() == nullptr || field->message_type()->full_name() == "google.protobuf.Any") continue;
      const Message& child =
          index < 0 ? reflection->GetMessage(message, field) : reflection->GetRepeatedMessage(message, field, i);
      EAQ_RETURN_IF_ERROR(
          CheckFinite(source, child, places == nullptr ? nullptr : places->GetTreeForNested(field, index)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckText(const SpecSource& source) {
  if (source.text().size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(source.name(), ": ", source.text().size(), " bytes; a spec has at most ", kMaxBytes));
  }
  return source.CheckEncoding();
}

}  // namespace

SpecPosition LoadedSpec::Locate(const std::vector<PathStep>& path) const {
  SpecPosition best;
  const TextFormat::ParseInfoTree* tree = &places;
  for (const PathStep& step : path) {
    if (tree == nullptr || step.field == nullptr) break;
    const TextFormat::ParseLocation at = tree->GetLocation(step.field, step.index);
    if (at.line >= 0) best = {at.line, at.column};
    tree = step.field->message_type() == nullptr ? nullptr : tree->GetTreeForNested(step.field, step.index);
  }
  return best;
}

SpecPosition LoadedSpec::Locate(const std::vector<std::pair<std::string, int>>& path) const {
  std::vector<PathStep> steps;
  const Descriptor* type = Experiment::descriptor();
  for (const auto& [name, index] : path) {
    const FieldDescriptor* field = type == nullptr ? nullptr : type->FindFieldByName(name);
    if (field == nullptr) break;
    steps.push_back({field, field->is_repeated() ? std::max(index, 0) : -1});
    type = field->message_type();
  }
  return Locate(steps);
}

absl::Status LoadedSpec::Error(const std::vector<std::pair<std::string, int>>& path, absl::string_view message) const {
  return source.Error(Locate(path), message);
}

absl::StatusOr<std::shared_ptr<const LoadedSpec>> LoadSpec(const std::string& name, std::string text) {
  auto spec = std::make_shared<LoadedSpec>();
  spec->source = SpecSource(name, std::move(text));
  EAQ_RETURN_IF_ERROR(CheckText(spec->source));
  spec->lists = FindLists(spec->source.text(), Experiment::descriptor());
  size_t longest = 1;
  for (const SpecList& list : spec->lists) {
    const SpecPosition at = spec->source.PositionOf(list.begin);
    if (list.values.empty()) return spec->source.Error(at, "an empty list; give at least one value");
    if (list.values.size() > 1000) return spec->source.Error(at, "more than 1000 values in one list");
    const std::string& top = list.path[0].field->name();
    if (top != "scheme" && top != "recipe" && top != "calibration") {
      return spec->source.Error(at, "a list in place of one value expands only inside scheme, recipe or calibration");
    }
    longest = std::max(longest, list.values.size());
  }
  // Every value of every list takes its turn, so that a mistake in the third value points at the third value.
  for (size_t which = longest; which-- > 0;) {
    Experiment experiment;
    const std::string one = KeepOne(spec->source.text(), spec->lists, which);
    EAQ_RETURN_IF_ERROR(Parse(spec->source, one, experiment, which == 0 ? &spec->places : nullptr));
    if (which > 0) {
      TextFormat::ParseInfoTree places;
      experiment.Clear();
      EAQ_RETURN_IF_ERROR(Parse(spec->source, one, experiment, &places));
      EAQ_RETURN_IF_ERROR(CheckFinite(spec->source, experiment, &places));
      continue;
    }
    EAQ_RETURN_IF_ERROR(CheckFinite(spec->source, experiment, &spec->places));
    spec->experiment = std::move(experiment);
  }
  return std::shared_ptr<const LoadedSpec>(std::move(spec));
}

absl::StatusOr<Recipe> ParseRecipe(const std::string& name, std::string text) {
  const SpecSource source(name, std::move(text));
  EAQ_RETURN_IF_ERROR(CheckText(source));
  Recipe recipe;
  TextFormat::ParseInfoTree places;
  EAQ_RETURN_IF_ERROR(Parse(source, source.text(), recipe, &places));
  EAQ_RETURN_IF_ERROR(CheckFinite(source, recipe, &places));
  return recipe;
}

}  // namespace eaq

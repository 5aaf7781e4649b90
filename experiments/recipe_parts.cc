#include "experiments/recipe_parts.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/ledger/trial_key.h"
#include "eaq/proto/any_message.h"

namespace eaq {
namespace {

using google::protobuf::Any;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::unique_ptr<Message> Clone(const Message& message) {
  std::unique_ptr<Message> copy(message.New());
  copy->CopyFrom(message);
  return copy;
}

// Element INDEX of a repeated field, or the only one.
bool SameValue(const Message& a, const Message& b, const FieldDescriptor* field, int index) {
  const Reflection *ra = a.GetReflection(), *rb = b.GetReflection();
  const auto same = [&](auto single, auto repeated) {
    return index < 0 ? (ra->*single)(a, field) == (rb->*single)(b, field)
                     : (ra->*repeated)(a, field, index) == (rb->*repeated)(b, field, index);
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return same(&Reflection::GetInt32, &Reflection::GetRepeatedInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return same(&Reflection::GetInt64, &Reflection::GetRepeatedInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return same(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return same(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return same(&Reflection::GetDouble, &Reflection::GetRepeatedDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return same(&Reflection::GetFloat, &Reflection::GetRepeatedFloat);
    case FieldDescriptor::CPPTYPE_BOOL:
      return same(&Reflection::GetBool, &Reflection::GetRepeatedBool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return same(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue);
    case FieldDescriptor::CPPTYPE_STRING:
      return same(&Reflection::GetString, &Reflection::GetRepeatedString);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return index < 0 ? SameMeaning(ra->GetMessage(a, field, nullptr), rb->GetMessage(b, field, nullptr))
                   : SameMeaning(ra->GetRepeatedMessage(a, field, index), rb->GetRepeatedMessage(b, field, index));
}

bool SameField(const Message& a, const Message& b, const FieldDescriptor* field) {
  const Reflection *ra = a.GetReflection(), *rb = b.GetReflection();
  if (field->is_repeated()) {
    const int n = ra->FieldSize(a, field);
    if (n != rb->FieldSize(b, field)) return false;
    for (int i = 0; i < n; ++i) {
      if (!SameValue(a, b, field, i)) return false;
    }
    return true;
  }
  const bool presence_counts = field->message_type() != nullptr || field->containing_oneof() != nullptr;
  if (presence_counts && ra->HasField(a, field) != rb->HasField(b, field)) return false;
  if (presence_counts && !ra->HasField(a, field)) return true;
  return SameValue(a, b, field, -1);
}

// One transform that at least one of the recipes has.
struct Transform {
  std::string key;           // "smoothquant", "hadamard#2"
  int base = -1, full = -1;  // its index there; -1: absent
};

// The transforms of both in FULL's order; nullopt when common ones stand in another order in BASE.
std::optional<std::vector<Transform>> AlignTransforms(const Message& base, const Message& full,
                                                      const FieldDescriptor* field) {
  const auto keys = [field](const Message& m) {
    std::vector<std::string> keys;
    std::map<std::string, int> count;
    for (int i = 0; i < m.GetReflection()->FieldSize(m, field); ++i) {
      const std::string kind = StageOf(m.GetReflection()->GetRepeatedMessage(m, field, i)).kind;
      const int n = ++count[kind];
      keys.push_back(n == 1 ? kind : absl::StrCat(kind, "#", n));
    }
    return keys;
  };
  const std::vector<std::string> b = keys(base), f = keys(full);
  std::vector<Transform> all;
  size_t next = 0;  // of BASE
  for (size_t i = 0; i < f.size(); ++i) {
    const auto at = std::find(b.begin(), b.end(), f[i]);
    if (at == b.end()) {
      all.push_back({f[i], -1, static_cast<int>(i)});
      continue;
    }
    const size_t j = at - b.begin();
    if (j < next) return std::nullopt;
    for (; next < j; ++next) {
      if (std::find(f.begin(), f.end(), b[next]) != f.end()) return std::nullopt;
      all.push_back({b[next], static_cast<int>(next), -1});
    }
    all.push_back({f[i], static_cast<int>(j), static_cast<int>(i)});
    next = j + 1;
  }
  for (; next < b.size(); ++next) all.push_back({b[next], static_cast<int>(next), -1});
  return all;
}

// The options in which two stages of one kind differ.
std::vector<const FieldDescriptor*> OptionDifferences(const Message& base, const Message& full) {
  std::vector<const FieldDescriptor*> out;
  for (int i = 0; i < base.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = base.GetDescriptor()->field(i);
    if (!SameField(base, full, field)) out.push_back(field);
  }
  return out;
}

void MixOptions(const std::string& prefix, const StageOptions& full, const std::set<std::string>& take,
                StageOptions& mixed) {
  for (const FieldDescriptor* field : OptionDifferences(*mixed.options, *full.options)) {
    if (take.count(absl::StrCat(prefix, ".", field->name())) > 0) CopyField(*full.options, field, *mixed.options);
  }
}

// The fields of Recipe that can differ in meaning.
std::vector<const FieldDescriptor*> RecipeFields() {
  std::vector<const FieldDescriptor*> out;
  for (int i = 0; i < Recipe::descriptor()->field_count(); ++i) {
    const FieldDescriptor* field = Recipe::descriptor()->field(i);
    if (!IsLabelField(field->full_name())) out.push_back(field);
  }
  return out;
}

}  // namespace

bool SameMeaning(const Message& a, const Message& b) {
  if (a.GetDescriptor() != b.GetDescriptor()) return false;
  for (int i = 0; i < a.GetDescriptor()->field_count(); ++i) {
    if (!SameField(a, b, a.GetDescriptor()->field(i))) return false;
  }
  return true;
}

bool SameRecipe(const Recipe& a, const Recipe& b) {
  const std::vector<const FieldDescriptor*> fields = RecipeFields();
  return std::all_of(fields.begin(), fields.end(), [&](const FieldDescriptor* f) { return SameField(a, b, f); });
}

bool IsSlot(const FieldDescriptor* field) {
  return field->message_type() != nullptr && field->message_type()->oneof_decl_count() == 1 &&
         field->message_type()->oneof_decl(0)->name() == "stage";
}

StageOptions StageOf(const Message& slot) {
  const Reflection* reflection = slot.GetReflection();
  const FieldDescriptor* set = reflection->GetOneofFieldDescriptor(slot, slot.GetDescriptor()->oneof_decl(0));
  if (set == nullptr) return {};
  const Message& options = reflection->GetMessage(slot, set);
  if (set->message_type() != Any::descriptor()) return {set->name(), Clone(options)};
  const Any& any = static_cast<const Any&>(options);
  std::unique_ptr<Message> payload = UnpackAny(any);
  return {AnyTypeName(any), payload == nullptr ? Clone(any) : std::move(payload)};
}

void PutStage(const StageOptions& stage, Message& slot) {
  slot.Clear();
  if (stage.options == nullptr) return;
  const google::protobuf::OneofDescriptor* stages = slot.GetDescriptor()->oneof_decl(0);
  for (int i = 0; i < stages->field_count(); ++i) {
    const FieldDescriptor* field = stages->field(i);
    if (field->message_type() != stage.options->GetDescriptor()) continue;
    slot.GetReflection()->MutableMessage(&slot, field)->CopyFrom(*stage.options);
    return;
  }
  for (int i = 0; i < stages->field_count(); ++i) {
    if (stages->field(i)->message_type() != Any::descriptor()) continue;
    static_cast<Any*>(slot.GetReflection()->MutableMessage(&slot, stages->field(i)))->PackFrom(*stage.options);
  }
}

void CopyField(const Message& from, const FieldDescriptor* field, Message& to) {
  const std::unique_ptr<Message> copy = Clone(from);
  to.GetReflection()->SwapFields(&to, copy.get(), {field});
}

std::vector<RecipeDifference> RecipeDifferences(const Recipe& base, const Recipe& full) {
  std::vector<RecipeDifference> out;
  const Reflection* reflection = base.GetReflection();
  const auto options = [&out](const std::string& prefix, const StageOptions& a, const StageOptions& b) {
    for (const FieldDescriptor* f : OptionDifferences(*a.options, *b.options)) {
      out.push_back({absl::StrCat(prefix, ".", f->name()), f->name(), {}});
    }
  };
  for (const FieldDescriptor* field : RecipeFields()) {
    if (SameField(base, full, field)) continue;
    const std::string& slot = field->name();
    if (!IsSlot(field)) {
      out.push_back({slot, slot, {}});
      continue;
    }
    if (!field->is_repeated()) {
      const StageOptions a = StageOf(reflection->GetMessage(base, field)),
                         b = StageOf(reflection->GetMessage(full, field));
      if (a.kind == b.kind && a.options != nullptr) {
        options(absl::StrCat(slot, ".", a.kind), a, b);
        continue;
      }
      const std::string now = b.kind.empty() ? "none" : b.kind;
      RecipeDifference d{slot, slot == "solve" || slot == "allocate" ? now : absl::StrCat(slot, "=", now), {}};
      for (const std::string& kind : {a.kind, b.kind}) {
        if (!kind.empty()) d.stages.push_back(absl::StrCat(slot, ".", kind));
      }
      out.push_back(std::move(d));
      continue;
    }
    const auto aligned = AlignTransforms(base, full, field);
    if (!aligned) {
      out.push_back({slot, absl::StrCat(slot, " order"), {}});
      continue;
    }
    for (const Transform& t : *aligned) {
      const std::string path = absl::StrCat(slot, ".", t.key);
      if (t.base >= 0 && t.full >= 0) {
        options(path, StageOf(reflection->GetRepeatedMessage(base, field, t.base)),
                StageOf(reflection->GetRepeatedMessage(full, field, t.full)));
      } else {
        out.push_back({path, t.full >= 0 ? t.key : absl::StrCat("no ", t.key), {}});
      }
    }
  }
  // A short name that two share is no name.
  for (size_t i = 0; i < out.size(); ++i) {
    bool twice = false;
    for (size_t j = 0; j < out.size(); ++j) {
      if (j == i || out[j].name != out[i].name) continue;
      twice = true;
      out[j].name = out[j].path;
    }
    if (twice) out[i].name = out[i].path;
  }
  return out;
}

Recipe MixRecipes(const Recipe& base, const Recipe& full, const std::set<std::string>& take) {
  Recipe mixed = base;
  const Reflection* reflection = base.GetReflection();
  for (const FieldDescriptor* field : RecipeFields()) {
    if (SameField(base, full, field)) continue;
    const std::string& slot = field->name();
    if (!IsSlot(field)) {
      if (take.count(slot) > 0) CopyField(full, field, mixed);
      continue;
    }
    if (!field->is_repeated()) {
      StageOptions a = StageOf(reflection->GetMessage(base, field));
      const StageOptions b = StageOf(reflection->GetMessage(full, field));
      if (a.kind == b.kind && a.options != nullptr) {
        MixOptions(absl::StrCat(slot, ".", a.kind), b, take, a);
        PutStage(a, *reflection->MutableMessage(&mixed, field));
      } else if (take.count(slot) > 0) {
        CopyField(full, field, mixed);
      }
      continue;
    }
    const auto aligned = AlignTransforms(base, full, field);
    if (!aligned) {
      if (take.count(slot) > 0) CopyField(full, field, mixed);
      continue;
    }
    reflection->ClearField(&mixed, field);
    for (const Transform& t : *aligned) {
      const std::string path = absl::StrCat(slot, ".", t.key);
      const bool taken = take.count(path) > 0;
      if (t.base < 0 && !taken) continue;
      if (t.full < 0 && taken) continue;
      StageOptions stage = t.base >= 0 ? StageOf(reflection->GetRepeatedMessage(base, field, t.base))
                                       : StageOf(reflection->GetRepeatedMessage(full, field, t.full));
      if (t.base >= 0 && t.full >= 0) {
        MixOptions(path, StageOf(reflection->GetRepeatedMessage(full, field, t.full)), take, stage);
      }
      PutStage(stage, *reflection->AddMessage(&mixed, field));
    }
  }
  return mixed;
}

bool MeansDifference(absl::string_view field, const RecipeDifference& d) {
  if (d.path == field || absl::StartsWith(d.path, absl::StrCat(field, "."))) return true;
  return std::find(d.stages.begin(), d.stages.end(), field) != d.stages.end();
}

}  // namespace eaq

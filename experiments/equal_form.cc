#include "experiments/equal_form.h"

#include <google/protobuf/descriptor.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/ledger/trial_key.h"
#include "experiments/recipe_parts.h"

namespace eaq {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsMethodsOwn(const FieldDescriptor* slot) {
  return slot->name() == "transform" || slot->name() == "allocate" || slot->name() == "solve";
}

// The options that the fragment's STAGE sets and that apply to the one in SLOT. WHOLE: a stage of the same kind gets
// all of its options, those left at their defaults too; a solver's ways to choose a range exclude each other.
void WriteOptions(const StageOptions& stage, bool whole, Message& slot) {
  StageOptions own = StageOf(slot);
  if (own.options == nullptr || stage.options == nullptr) return;
  std::vector<const FieldDescriptor*> set;
  stage.options->GetReflection()->ListFields(*stage.options, &set);
  if (own.kind == stage.kind) {
    if (whole) own.options->Clear();
    for (const FieldDescriptor* field : set) CopyField(*stage.options, field, *own.options);
    return PutStage(own, slot);
  }
  bool changed = false;
  for (const FieldDescriptor* field : set) {
    if (field->message_type() == nullptr || field->is_repeated()) continue;
    const FieldDescriptor* same = own.options->GetDescriptor()->FindFieldByName(field->name());
    if (same == nullptr || same->message_type() != field->message_type() || same->is_repeated()) continue;
    own.options->GetReflection()
        ->MutableMessage(own.options.get(), same)
        ->CopyFrom(stage.options->GetReflection()->GetMessage(*stage.options, field));
    changed = true;
  }
  if (changed) PutStage(own, slot);
}

}  // namespace

absl::Status CheckEqualFragment(const Recipe& fragment) {
  if (fragment.has_name() || fragment.has_title()) {
    return absl::InvalidArgumentError(
        "`equal` is written over recipes that have names of their own: no name, no title");
  }
  std::vector<const FieldDescriptor*> set;
  fragment.GetReflection()->ListFields(fragment, &set);
  if (!set.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "an empty `equal` makes nothing equal: say for example router { keep {} } activation { dynamic {} }");
}

Recipe WriteEqual(const Recipe& recipe, const Recipe& fragment) {
  Recipe out = recipe;
  const Reflection* reflection = out.GetReflection();
  std::vector<const FieldDescriptor*> set;
  reflection->ListFields(fragment, &set);
  for (const FieldDescriptor* field : set) {
    if (IsLabelField(field->full_name())) continue;
    if (!IsSlot(field) || !IsMethodsOwn(field)) {
      if (field->name() == "calibration" && out.calibration().has_none()) continue;
      CopyField(fragment, field, out);
      continue;
    }
    if (!field->is_repeated()) {
      if (!reflection->HasField(out, field)) continue;
      WriteOptions(StageOf(reflection->GetMessage(fragment, field)), field->name() == "solve",
                   *reflection->MutableMessage(&out, field));
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(fragment, field); ++i) {
      const StageOptions stage = StageOf(reflection->GetRepeatedMessage(fragment, field, i));
      for (int j = 0; j < reflection->FieldSize(out, field); ++j) {
        WriteOptions(stage, false, *reflection->MutableRepeatedMessage(&out, field, j));
      }
    }
  }
  return out;
}

}  // namespace eaq

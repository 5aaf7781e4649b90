// Registries: from the message that configures a stage to the stage. One registry per slot, filled before main() by
// EAQ_REGISTER_STAGE (stage.h shows how); keyed by the full name of the message ("eaq.Gptq").
#ifndef EAQ_RECIPE_REGISTRY_H_
#define EAQ_RECIPE_REGISTRY_H_

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace eaq {

template <typename Slot>
class StageRegistry {
 public:
  using Maker = std::function<absl::StatusOr<std::unique_ptr<Slot>>(const google::protobuf::Message&)>;

  static StageRegistry& Get() {
    static StageRegistry* registry = new StageRegistry;
    return *registry;
  }

  // False when the name is taken; the first one stays.
  bool Register(const std::string& message, Maker maker) { return makers_.emplace(message, std::move(maker)).second; }

  // NotFound names the stages that are linked in.
  absl::StatusOr<std::unique_ptr<Slot>> Make(const google::protobuf::Message& options) const {
    const std::string& name = options.GetDescriptor()->full_name();
    const auto it = makers_.find(name);
    if (it == makers_.end()) {
      return absl::NotFoundError(absl::StrCat("no stage is registered for ", name,
                                              "; linked in: ", absl::StrJoin(Names(), ", "),
                                              "; does the program link the stage's library (alwayslink = True)?"));
    }
    return it->second(options);
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, maker] : makers_) names.push_back(name);
    return names;
  }

 private:
  std::map<std::string, Maker> makers_;
};

// The message set in the `oneof stage` of a slot (CalibrationStage, SolveStage, ... of recipe.proto), the payload of
// `external` unpacked. InvalidArgument when none is set or the payload's type is not linked in.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> StageOptions(const google::protobuf::Message& slot,
                                                                        absl::string_view slot_name);

// The stage that fills SLOT.
template <typename Slot>
absl::StatusOr<std::unique_ptr<Slot>> MakeStage(const google::protobuf::Message& slot, absl::string_view slot_name) {
  auto options = StageOptions(slot, slot_name);
  if (!options.ok()) return options.status();
  auto stage = StageRegistry<Slot>::Get().Make(**options);
  if (!stage.ok()) {
    return absl::Status(stage.status().code(), absl::StrCat("slot ", slot_name, ": ", stage.status().message()));
  }
  return stage;
}

}  // namespace eaq

#define EAQ_STAGE_CONCAT_INNER_(a, b) a##b
#define EAQ_STAGE_CONCAT_(a, b) EAQ_STAGE_CONCAT_INNER_(a, b)
#define EAQ_REGISTER_STAGE(Slot, Options, ...)                                                    \
  [[maybe_unused]] static const bool EAQ_STAGE_CONCAT_(eaq_registered_, __LINE__) =               \
      ::eaq::StageRegistry<Slot>::Get().Register(                                                 \
          Options::descriptor()->full_name(),                                                     \
          [](const google::protobuf::Message& message) -> absl::StatusOr<std::unique_ptr<Slot>> { \
            Options options;                                                                      \
            options.CopyFrom(message);                                                            \
            return (__VA_ARGS__)(options);                                                        \
          })

#endif  // EAQ_RECIPE_REGISTRY_H_

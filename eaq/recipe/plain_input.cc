#include "eaq/recipe/plain_input.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {

absl::Status RequirePlainInput(const LayerParams& params, const LinearId& id, absl::string_view stage,
                               absl::string_view expected) {
  const auto& online = params.linears.at(id).online;
  if (online == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(stage, " after a transform that leaves ", id.ToString(),
                                                 " run-time work (", online->ToString(), "); ", expected));
}

absl::Status RequirePlainInputs(const LayerParams& params, absl::string_view stage, absl::string_view expected) {
  for (const auto& [id, linear] : params.linears) {
    EAQ_RETURN_IF_ERROR(RequirePlainInput(params, id, stage, expected));
  }
  return absl::OkStatus();
}

}  // namespace eaq

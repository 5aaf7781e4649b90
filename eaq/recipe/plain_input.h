// What a transform needs that folds scales into the norm or linear before another linear: that the channels which it
// scales are still those that the linear's weight multiplies. Run-time work between them (a rotation, say) mixes them,
// and the folded model would compute something else.
#ifndef EAQ_RECIPE_PLAIN_INPUT_H_
#define EAQ_RECIPE_PLAIN_INPUT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "eaq/model/params.h"

namespace eaq {

// InvalidArgument when an earlier stage left linear ID run-time work: names STAGE, the linear, that work, and EXPECTED
// ("expected it before that transform").
absl::Status RequirePlainInput(const LayerParams& params, const LinearId& id, absl::string_view stage,
                               absl::string_view expected);
// The same of every linear of the layer.
absl::Status RequirePlainInputs(const LayerParams& params, absl::string_view stage, absl::string_view expected);

}  // namespace eaq

#endif  // EAQ_RECIPE_PLAIN_INPUT_H_

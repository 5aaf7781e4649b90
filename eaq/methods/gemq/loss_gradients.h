// Gradients of the language-model loss by the output of every decoder layer, in full precision.
//
//   EAQ_RETURN_IF_ERROR(WalkLossGradients(context, [&](const LayerParams& layer, absl::Span<const Matrix> hidden,
//                                                      absl::Span<const Matrix> gradient) { ... }));
//
// For one window of T tokens: loss = 1 / (T - 1) sum_t -log p(id_{t+1} | id_0 .. id_t); no auxiliary router loss.
// gradient[w][t, j] = d loss_w / d output[t, j], through the weights of the chosen experts, none through the choice
// (GEMQ, section on coefficients; specs/related_methods.md 4).
#ifndef EAQ_METHODS_GEMQ_LOSS_GRADIENTS_H_
#define EAQ_METHODS_GEMQ_LOSS_GRADIENTS_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/model/params.h"
#include "eaq/recipe/stage.h"
#include "eaq/tensor/matrix.h"

namespace eaq::gemq {

// LAYER, the inputs of it and the gradients by its outputs, [tokens, hidden_size] a window of context.calibration.
using LayerVisitor = absl::FunctionRef<absl::Status(const LayerParams& layer, absl::Span<const Matrix> hidden,
                                                    absl::Span<const Matrix> gradient)>;

// VISIT for every layer, the last one first. One layer is resident at a time; the inputs of all layers are kept: layers
// * tokens * hidden_size float32. The same bits for any number of threads. InvalidArgument: an architecture that the
// passes of train/ do not know, biases, a window of fewer than two tokens. DataLoss: a gradient that is not finite.
absl::Status WalkLossGradients(const ModelContext& context, LayerVisitor visit);

}  // namespace eaq::gemq

#endif  // EAQ_METHODS_GEMQ_LOSS_GRADIENTS_H_

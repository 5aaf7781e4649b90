// Which rows each rotation of a layer is found on (specs/eaquant.md 1.7, 1.8).
//
// Linears that read the same rows share a rotation: q k v; o; the router (and the gate of a shared expert); gate and up
// of an expert; its down. The sample is one averaged window, or real tokens. Experts may be given more tokens of their
// own, up to a budget: EAQuant's calibration balance.
#ifndef EAQ_METHODS_DUQUANT_SAMPLES_H_
#define EAQ_METHODS_DUQUANT_SAMPLES_H_

#include <map>

#include "absl/status/statusor.h"
#include "eaq/recipe/calibration_sample.h"
#include "eaq/recipe/stage.h"

namespace eaq::duquant {

struct SampleOptions {
  SampleSpec sample = {};
  double expert_token_ratio = 0;    // r; 0: an expert has its tokens of the sample
  bool balance_on_outputs = false;  // the further tokens: of the layer's outputs fed through it again, as released
};

// int(top_k / experts * WINDOW * r), at least 1: the tokens an expert is calibrated on.
int64_t ExpertBudget(const ModelConfig& config, int64_t window, double ratio);

// The rows of every linear that stands for its input (LayerProfile::InputOwner), after its online transform, of the
// full-precision layer PARAMS. With a budget, experts have the first so many rows of the sample and then of all
// windows in turn. An expert without tokens has the router's rows, and its down what the expert makes of them.
// DataLoss names the linear whose rows hold NaN or infinity.
absl::StatusOr<std::map<LinearId, Matrix>> LayerSamples(const LayerContext& context, const LayerParams& params,
                                                        const SampleOptions& options);

}  // namespace eaq::duquant

#endif  // EAQ_METHODS_DUQUANT_SAMPLES_H_

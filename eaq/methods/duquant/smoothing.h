// DuQuant's own smoothing rule (specs/eaquant.md 6.1), s floored at 1e-2:
//
//   qkv   amax[q], W = q          norm /= s,  q k v columns *= s
//   out   amax[o], W = o          v rows /= s, o columns *= s; divided at run time where v and o differ in width
//   fc1   amax[up], W = up        norm /= s,  up and gate columns *= s          (dense layers)
//   down  amax[down], W = down    up rows /= s, down columns *= s               (dense layers)
//
// In a mixture fc1 is one vector for the router, all experts and shared ones (SmoothQuant's MoE rule), and down is
// done expert by expert; or neither.
#ifndef EAQ_METHODS_DUQUANT_SMOOTHING_H_
#define EAQ_METHODS_DUQUANT_SMOOTHING_H_

#include "eaq/model/config.h"
#include "eaq/model/params.h"
#include "eaq/recipe/profile.h"

namespace eaq::duquant {

// PROFILE: of the layer as PARAMS has it, no linear of which may have an online transform yet. An expert that no token
// reached keeps its down as it is.
void Smooth(const ModelConfig& config, const LayerProfile& profile, double alpha, bool smooth_mixture,
            LayerParams& params);

}  // namespace eaq::duquant

#endif  // EAQ_METHODS_DUQUANT_SMOOTHING_H_

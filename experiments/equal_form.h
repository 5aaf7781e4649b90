// The EQUAL form of an experiment: one fragment of a recipe written over every recipe, so that what is compared is the
// method's idea and not the treatment around it.
//
//   equal {
//     calibration { random {} }                            # a treatment: stands like this in every recipe that reads
//     data solve { nearest { clip { norm: L24 } } }             # a method's own: every solver with a `clip` gets this
//     one router { keep {} }  activation { dynamic {} }        # treatments propagate: QUANTIZED
//   }
//
// Treatments (calibration, router, activation, and fields of Recipe that are no slot) are replaced; a recipe that reads
// no calibration data goes on reading none. The slots that make a method what it is (transform, allocate, solve) keep
// their stages: a stage of the same kind gets the fragment's options; a stage of another kind those options that are
// messages and that it has under the same name and type (ClipSearch clip), and nothing else.
#ifndef EXPERIMENTS_EQUAL_FORM_H_
#define EXPERIMENTS_EQUAL_FORM_H_

#include "absl/status/status.h"
#include "eaq/proto/recipe.pb.h"

namespace eaq {

// InvalidArgument for a fragment that says nothing, or gives a name or title.
absl::Status CheckEqualFragment(const Recipe& fragment);

// RECIPE with FRAGMENT written over it; name and title stay.
Recipe WriteEqual(const Recipe& recipe, const Recipe& fragment);

}  // namespace eaq

#endif  // EXPERIMENTS_EQUAL_FORM_H_

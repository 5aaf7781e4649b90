// The rows a stage is tuned on, as recipe.proto's CalibrationSample says it.
//
//   EAQ_ASSIGN_OR_RETURN(const SampleSpec spec, SampleFromProto(options.sample()));
//   const std::vector<Matrix> sample = SampleWindows(spec, context.hidden);   // [one averaged window] or all of them
//   const auto x = CollectInputs(*layer, sample, {router}, pool);
//   const Matrix rows = SampleRows(spec, x.at(router));
#ifndef EAQ_RECIPE_CALIBRATION_SAMPLE_H_
#define EAQ_RECIPE_CALIBRATION_SAMPLE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct SampleSpec {
  bool averaged = true;
  int64_t max_rows = 1024;  // of real tokens
};

// InvalidArgument unless max_rows >= 1.
absl::StatusOr<SampleSpec> SampleFromProto(const CalibrationSample& sample);

// The mean of the windows [tokens, hidden], position by position, summed in float64; a window shorter than the others
// takes no part in the positions it lacks. [0, 0] without windows.
Matrix AveragedWindow(absl::Span<const Matrix> windows);

// The averaged window alone, or the WINDOWS as they are.
std::vector<Matrix> SampleWindows(const SampleSpec& spec, absl::Span<const Matrix> windows);

// At most spec.max_rows rows of X, evenly spaced from the first; of an averaged sample all.
Matrix SampleRows(const SampleSpec& spec, const Matrix& x);

}  // namespace eaq

#endif  // EAQ_RECIPE_CALIBRATION_SAMPLE_H_

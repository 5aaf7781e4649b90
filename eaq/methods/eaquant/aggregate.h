// Expert-aware smoothing aggregation: one vector for the router and all experts of a layer from one vector each
// (EAQuant, specs/eaquant.md 1.4).
//
//   std::vector<ExpertEvidence> experts = ...;       // s_i, how often it is chosen, how uneven its columns are
//   EAQ_ASSIGN_OR_RETURN(const std::vector<float> s, Aggregate(EaquantSmoothing::MAX, experts));
#ifndef EAQ_METHODS_EAQUANT_AGGREGATE_H_
#define EAQ_METHODS_EAQUANT_AGGREGATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/tensor/matrix.h"

namespace eaq::eaquant {

struct ExpertEvidence {
  std::vector<float> scales;     // [hidden], s_i; of an expert with tokens
  int64_t tokens = 0;            // that chose it
  double column_unevenness = 0;  // wscore
  double mean_probability = 0;   // of the router's softmax
};

// wscore of a weight: the largest over its columns of (largest |w|) / (mean |w|); 0 for zeros.
double ColumnUnevenness(const Matrix& weight);

// The weight of each expert in a weighted sum; those without tokens have none, and the others' sum to 1. The operators
// MAX and ALL have no weights: InvalidArgument.
absl::StatusOr<std::vector<double>> AggregationWeights(EaquantSmoothing::Aggregation aggregation,
                                                       absl::Span<const ExpertEvidence> experts);

// s[hidden], from the experts that have tokens. InvalidArgument when none has.
absl::StatusOr<std::vector<float>> Aggregate(EaquantSmoothing::Aggregation aggregation,
                                             absl::Span<const ExpertEvidence> experts);

// s <- max(s, other), element by element.
void TakeMax(absl::Span<const float> other, std::vector<float>& s);

}  // namespace eaq::eaquant

#endif  // EAQ_METHODS_EAQUANT_AGGREGATE_H_

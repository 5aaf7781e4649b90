// Suggestions for a mistyped name.
//
//   DidYouMean("dampin", {"damping", "block"})   // "damping"
#ifndef EXPERIMENTS_DID_YOU_MEAN_H_
#define EXPERIMENTS_DID_YOU_MEAN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq {

// Levenshtein distance with transpositions of neighbours (optimal string alignment), case ignored.
int EditDistance(absl::string_view a, absl::string_view b);

// The candidate nearest to NAME, "" when none is near (more than a third of the letters differ, at least 2 allowed).
// Ties: the first.
std::string DidYouMean(absl::string_view name, const std::vector<std::string>& candidates);

// "; did you mean "X"?", or "; known: a, b, c" when nothing is near, or "" without candidates.
std::string Suggestion(absl::string_view name, const std::vector<std::string>& candidates);

}  // namespace eaq

#endif  // EXPERIMENTS_DID_YOU_MEAN_H_

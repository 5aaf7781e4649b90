// Reads a train.textproto (eaq/train/train.proto).
#ifndef TOOLS_TRAIN_RECIPE_H_
#define TOOLS_TRAIN_RECIPE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/text/corpus.h"
#include "eaq/train/train.pb.h"

namespace eaq {

// The end of a document in training.
inline constexpr char kEndOfText[] = "<|endoftext|>";

// TEXT is the file's content, NAME its path, for messages. InvalidArgument: every syntax error as
// "NAME:line:column: message" (counted from 1), or a value that no training can start with.
absl::StatusOr<TrainRecipe> ParseTrainRecipe(absl::string_view text, const std::string& name);
// NotFound, or the errors of ParseTrainRecipe.
absl::StatusOr<TrainRecipe> LoadTrainRecipe(const std::string& path);

// The text of a domain: a default corpus, or the user's own.
absl::StatusOr<Corpus> LoadDomain(const TrainRecipe::Domain& domain);

// Tokens that one step sees.
int64_t TokensPerStep(const TrainRecipe& recipe);

}  // namespace eaq

#endif  // TOOLS_TRAIN_RECIPE_H_

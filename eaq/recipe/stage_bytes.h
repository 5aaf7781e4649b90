// Results of stages as bytes and back: what the stage cache stores, and what the hash of a stage's output is taken
// over. Parse functions return InvalidArgument for bytes that are not a whole result.
#ifndef EAQ_RECIPE_STAGE_BYTES_H_
#define EAQ_RECIPE_STAGE_BYTES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/params.h"
#include "eaq/recipe/profile.h"
#include "eaq/recipe/stage.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

std::string ProfileBytes(const LayerProfile& profile);
absl::StatusOr<LayerProfile> ParseProfile(absl::string_view bytes);

std::string ParamsBytes(const LayerParams& params);
absl::StatusOr<LayerParams> ParseParams(absl::string_view bytes);

std::string SolvedBytes(const SolvedLinears& solved);
absl::StatusOr<SolvedLinears> ParseSolved(absl::string_view bytes);

std::string WindowsBytes(const std::vector<CalibrationWindow>& windows);
absl::StatusOr<std::vector<CalibrationWindow>> ParseWindows(absl::string_view bytes);

std::string NumbersBytes(const std::vector<double>& numbers);
absl::StatusOr<std::vector<double>> ParseNumbers(absl::string_view bytes);

std::string NumberListsBytes(const std::vector<std::vector<double>>& lists);
absl::StatusOr<std::vector<std::vector<double>>> ParseNumberLists(absl::string_view bytes);

// Hidden states, one matrix a window.
std::string StatesBytes(const std::vector<Matrix>& states);
absl::StatusOr<std::vector<Matrix>> ParseStates(absl::string_view bytes);

}  // namespace eaq

#endif  // EAQ_RECIPE_STAGE_BYTES_H_

// What a calibration set is like, for stages that write their own: how evenly it uses the experts, and whether its text
// repeats itself.
//
//   EAQ_ASSIGN_OR_RETURN(const CalibrationStatistics s, MeasureCalibration(windows, source, tokenizer, pool));
#ifndef EAQ_RECIPE_CALIBRATION_STATISTICS_H_
#define EAQ_RECIPE_CALIBRATION_STATISTICS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/model/params.h"
#include "eaq/recipe/stage.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

// How the use of experts u is counted (specs/moequant.md, 3.4, row 5).
enum class ImbalanceForm {
  kTokens,       // MoEQuant eq. 4: u = share of the tokens, which sums to top-k
  kAssignments,  // the figure of the authors' repository: sqrt(E) times that, of the share of all choices
};

// Mean over the mixture layers of the standard deviation over experts: sigma_l = sqrt(sum_e (u_e - mean u)^2 / (E -
// 1)), in float64. COUNTS [layers * experts] are those of TOKENS >= 1 tokens. 0 without mixture layers or with one
// expert.
double ExpertImbalance(const ModelConfig& config, absl::Span<const int32_t> counts, int64_t tokens, ImbalanceForm form);

// Which experts the tokens of every window choose in the full-precision model, layer by layer.
absl::StatusOr<std::vector<ExpertCounts>> CountExpertUse(const std::vector<CalibrationWindow>& windows,
                                                         const ModelSource& source, ThreadPool& pool);

// Bytes after zlib (level 6) over bytes before; 1 for an empty text.
double CompressionRatio(absl::string_view text);

// A window counts as repetitive when its text has a ratio below this (specs/moequant.md, 3.5).
inline constexpr double kRepetitiveRatio = 0.10;

struct CalibrationStatistics {
  double imbalance = 0;         // ExpertImbalance in form kTokens, of all windows together
  double window_imbalance = 0;  // of each window by itself, the mean
  double zlib_ratio = 0;        // CompressionRatio, the mean over windows
  double repetitive = 0;        // the share of windows that are
};

absl::StatusOr<CalibrationStatistics> MeasureCalibration(const std::vector<CalibrationWindow>& windows,
                                                         const ModelSource& source, const Tokenizer& tokenizer,
                                                         ThreadPool& pool);

}  // namespace eaq

#endif  // EAQ_RECIPE_CALIBRATION_STATISTICS_H_

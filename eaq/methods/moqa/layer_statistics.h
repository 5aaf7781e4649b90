// What MoQa's switching wants to know of one layer: its survey (recipe/stage.h), from the full-precision layer. Stages
// 1 to 3 of the paper's analysis (moqa.md 3) with our readings R1 to R4 and R9.
#ifndef EAQ_METHODS_MOQA_LAYER_STATISTICS_H_
#define EAQ_METHODS_MOQA_LAYER_STATISTICS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/methods/moqa/significance.h"
#include "eaq/model/config.h"
#include "eaq/model/params.h"
#include "eaq/recipe/expert_rows.h"

namespace eaq::moqa {

struct CacheOptions {
  double percent = 1;       // of the rows of a matrix, rounded up
  bool by_damage = false;   // false: by range
  std::vector<int> widths;  // that an expert may have; by damage the rows differ from width to width
};

// So many of OUT rows.
int64_t CachedRowCount(double percent, int64_t out);

struct LayerStatistics {
  std::vector<double> baseline;                   // [expert] the mean of significance over the sets (R3)
  std::vector<std::vector<double>> significance;  // [set][expert]
  // Stage 1.
  std::vector<std::vector<double>> tokens;  // [set][expert] that reach the expert
  std::vector<double> sure;                 // [set] share of tokens whose largest gate is above 1/2
  // Stage 3, over all windows. [expert * experts + expert]
  std::vector<double> co_activation;  // P(both chosen) / sqrt(P(one) P(other)); 0 for an expert never chosen
  std::vector<double> similarity;     // cosine of the down matrices
  // Channels. Pairs of sets: 0 1, 0 2, ..., 1 2, ... With s a channel's significance and Dyn = max - min of s over the
  // sets (R9), `concentration` is the share of sum |s(D1) - s(D2)| in the 1 % of every matrix's rows with the largest
  // Dyn; `top_share` is what they are of all rows, what chance would give (rounding up makes it more than 1 %).
  std::vector<double> concentration;  // [pair]
  double top_share = 0;
  // [(expert * 3 + m) * (by damage: widths, else 1) + width]: the rows with the largest Dyn, or Dyn ||W_c - Q_b(W_c)||
  // with Q_b to nearest in the grid of SignificanceOptions; of equals the first. Rising.
  std::vector<std::vector<int32_t>> rows;

  // As a survey, and back. Internal: not of EXPERTS experts, or too short.
  std::vector<double> Numbers() const;
  static absl::StatusOr<LayerStatistics> Parse(absl::Span<const double> numbers, int experts);
};

// ROWS: of the layer of PARAMS; SET[w]: the data set of window w, 0 .. SETS-1. InvalidArgument names a matrix that
// cannot be rounded.
absl::StatusOr<LayerStatistics> MeasureLayer(const ModelConfig& config, const LayerParams& params,
                                             absl::Span<const ExpertRows> rows, absl::Span<const int> set, int sets,
                                             const SignificanceOptions& options, const CacheOptions& cache,
                                             ThreadPool& pool);

}  // namespace eaq::moqa

#endif  // EAQ_METHODS_MOQA_LAYER_STATISTICS_H_

// How much each routed expert of a layer gives to the tokens of a data set: MoQa's expert significance (moqa.md 3, our
// reading R1 and R2 of what the paper leaves open).
#ifndef EAQ_METHODS_MOQA_SIGNIFICANCE_H_
#define EAQ_METHODS_MOQA_SIGNIFICANCE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/params.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/recipe/expert_rows.h"

namespace eaq::moqa {

struct SignificanceOptions {
  MoQa::Measure measure = MoQa::OUTPUT;
  double gate_power = 1;               // a token counts by this power of the factor on the expert's output
  GridSpec grid;                       // of ROUNDING_ERROR: kind and granularity; its width is 2 bits
  const QuantizeOps* ops = &CpuOps();  // what rounds and multiplies
};

// [set][expert]; sums to 1 over the experts, or all 0 where the set has no tokens. SET[w] of 0 .. SETS-1: the data set
// of the window w of ROWS. With y the outputs of the gate, up and down matrices of an expert,
//   A_j = sum over m in {gate, up, down}, tokens i of j, channels c of  g_i^a |y_mc(i)| / rms_m,   S_j = A_j / sum A
// where rms_m is the root mean square of all outputs of kind m in the layer over the set; SQUARE takes y^2 / rms^2,
// ROUNDING_ERROR the output of W - Q(W) instead of y, COUNT 1. InvalidArgument names a matrix that cannot be rounded.
absl::StatusOr<std::vector<std::vector<double>>> Significance(const LayerParams& params,
                                                              absl::Span<const ExpertRows> rows,
                                                              absl::Span<const int> set, int sets,
                                                              const SignificanceOptions& options, ThreadPool& pool);

// The same for every channel (row) of every matrix as well, R2's S_ch: channels[set][expert][m][c], m of gate, up,
// down, is channel c's part of the layer's sum; a set's channels sum to 1 over the layer, an expert's to its S_j, up to
// the order of summation.
struct ChannelSignificances {
  std::vector<std::vector<double>> experts;  // as above, the same bits
  std::vector<std::vector<std::vector<std::vector<double>>>> channels;
};
absl::StatusOr<ChannelSignificances> SignificanceOfChannels(const LayerParams& params,
                                                            absl::Span<const ExpertRows> rows,
                                                            absl::Span<const int> set, int sets,
                                                            const SignificanceOptions& options, ThreadPool& pool);

}  // namespace eaq::moqa

#endif  // EAQ_METHODS_MOQA_SIGNIFICANCE_H_

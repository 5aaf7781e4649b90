// GPTQ: rounds column after column and lets the columns not yet rounded make up for each error, so that the error on
// the calibration inputs tr((W - Q) H (W - Q)^T) stays small (Frantar et al., "GPTQ: accurate post-training
// quantization for generative pre-trained transformers", ICLR 2023; specs/base_quantizers.md, section 3.3).
//
//   H + damping * mean(diag H) * I = (U^T U)^-1,  U upper triangular
//   for column i:  q_i = nearest(w_i);  e = (w_i - q_i) / U_ii;  W[:, i+1:] -= e U[i, i+1:]
//
//   EAQ_ASSIGN_OR_RETURN(GptqResult r, GptqSolve(w.view(), hessian, spec, GptqOptions{}));
//   Matrix w_hat = Dequantize(r.weight);
//
// Checked against AutoGPTQ 0.7.1's own gptq.py on 48 settings (2, 3, 4, 8 bits, groups, act-order, static groups, clip
// search; scales rounded to float16 there too): equal weights in all 48 when that code computes in float64, in 45 when
// in its float32, the rest differing in one row of 96. Differences from the reference code, for the better and on
// purpose: factor and updates in float64; a grid of a group found on the way sees the block's own updates
// (`stale_group_grids` brings back the reference's behaviour); input columns that calibration never saw are rounded,
// not zeroed (`zero_dead_columns` brings that back), and left out of mean(diag H) (there they count 1, which makes the
// result depend on the scale of H). A linear without any token (an idle expert) is rounded to nearest, never zeroed.
#ifndef EAQ_QUANT_GPTQ_H_
#define EAQ_QUANT_GPTQ_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/hessian.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/quant/salient_search.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct GptqOptions {
  double damping = 0.01;               // of the mean diagonal of H; x10 after a failed factorisation
  bool act_order = true;               // columns of large diag H first
  bool static_groups = true;           // grids of all groups from the weights as they come; false: found on the way
  int64_t block = 128;                 // columns between updates of all that follows; time only (stale grids apart)
  std::optional<ClipSearchSpec> clip;  // how grids are found; absent: min-max
  bool stale_group_grids = false;      // with static_groups = false: group grids from W without the block's own updates
  bool zero_dead_columns = false;      // columns with H_jj = 0 become 0, as in the reference code
  std::vector<uint8_t> group_bits;     // widths of the groups of a row (QuantizedMatrix); empty: all the grid's
  std::optional<SalientSearchSpec> salient;  // how grids of groups are found instead of by clip (SliM-LLM)
};

struct GptqReport {
  // tr((W - Q) H (W - Q)^T) / tokens: the summed squared output error per token, by the undamped H.
  double loss = 0;
  double nearest_loss = 0;   // the same for rounding to nearest on the same options' grids
  double damping_used = 0;   // 0 when GPTQ did not run
  int64_t dead_columns = 0;  // columns with H_jj = 0
  bool fell_back_to_nearest = false;
  std::string note;  // why, in words; empty when nothing is worth saying
};

struct GptqResult {
  QuantizedMatrix weight;
  GptqReport report;
};

// w[out, in], hessian.size == in. InvalidArgument: bad spec or options, sizes that disagree, NaN or infinity in w or H,
// group_bits or salient without a grid per group, or with act_order and groups found on the way.
absl::StatusOr<GptqResult> GptqSolve(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                     const GptqOptions& options);

// The diagonal of U, columns taken in their own order: how much of each input the columns before and after it cannot
// explain. Damped like a solve. FailedPrecondition: no column was ever seen, or H cannot be factorised at any damping.
absl::StatusOr<std::vector<double>> InverseFactorDiagonal(const Hessian& hessian, double damping);

// tr((W - Q) H (W - Q)^T) in float64.
double HessianLoss(ConstMatrixView w, ConstMatrixView q, const Hessian& hessian);

}  // namespace eaq

#endif  // EAQ_QUANT_GPTQ_H_

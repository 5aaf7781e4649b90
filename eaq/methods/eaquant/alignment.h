// Router logits alignment: the clip ratio of a router's weight grid whose logits, or whose probabilities of the experts
// that matter, come closest to full precision (EAQuant, specs/eaquant.md 1.5, 1.7).
//
//   z = a W^T, zq = a Wq^T for the quantized rows a[tokens, in] that the router reads
//   KLtop = 1/T sum_t sum_{i in T_t} p_ti (log p_ti - log q_ti),   p = softmax(z_t), q = softmax(zq_t),
//   T_t = the m largest of z_t
//
//   EAQ_ASSIGN_OR_RETURN(const auto aligned, AlignRouter(w.view(), a, grid, {.objective = AlignedRouter::KL_TOP,
//                                                                            .top = 8}));
#ifndef EAQ_METHODS_EAQUANT_ALIGNMENT_H_
#define EAQ_METHODS_EAQUANT_ALIGNMENT_H_

#include <vector>

#include "absl/status/statusor.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq::eaquant {

// KL over the top sets, mean over the tokens, float64. Z, ZQ[tokens, experts]; TOP = m in 0 .. experts; the lowest
// index wins a tie. 0 tokens give 0.
double KlTop(const Matrix& z, const Matrix& zq, int64_t top, AlignedRouter::TopSum sum);

// m = k + floor(alpha_top (experts - k)).
int64_t TopSize(int64_t k, int64_t experts, double alpha_top);

struct AlignmentOptions {
  AlignedRouter::Objective objective = AlignedRouter::MSE_KL_TOP;
  AlignedRouter::TopSum top_sum = AlignedRouter::AS_PUBLISHED;
  int64_t top = 0;
  double first_ratio = 0.35;
};

struct RouterAlignment {
  std::vector<GridParams> grids;  // one a row of W
  std::vector<double> ratios;     // [1] when all rows share it, else one a row
};

// W[experts, in], A[tokens, in]. The candidates are those of quant/ratio_search.h, 0 not forced into the range; the
// first of the smallest scores wins, so ties keep the smaller ratio. InvalidArgument: a grid that is not per channel,
// top not in 0 .. experts, NaN or infinity in W or A, no rows in A where the objective reads them.
absl::StatusOr<RouterAlignment> AlignRouter(ConstMatrixView w, const Matrix& a, const GridSpec& grid,
                                            const AlignmentOptions& options, const QuantizeOps& ops = CpuOps());

}  // namespace eaq::eaquant

#endif  // EAQ_METHODS_EAQUANT_ALIGNMENT_H_

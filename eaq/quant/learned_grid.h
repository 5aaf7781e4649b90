// A weight on grids that are learned: an offset of the rounding for every weight (SignRound's V) and two factors of the
// range for every grid (SignRound's alpha and beta, OmniQuant's clipping), with gradients in closed form.
//
//   EAQ_ASSIGN_OR_RETURN(LearnedGrid<float> learned, LearnedGrid<float>::Create(rows, cols, grid));
//   learned.Forward(w, v, upper, lower, w_hat);                          // w_hat: what a stored model would compute
//   learned.Backward(w, v, upper, lower, g, {.offset = dv, .upper = du, .lower = dl});     // g: gradient of w_hat
//
// Per grid, [min, max] the range of its weights together with 0, a = upper, b = lower (specs/base_quantizers.md 5):
//   the grid is that of [b min, a max] by quant/grid.h: scale s in float16, zero z
//   q = clamp(rint(w / s + v) + z, 0, 2^b - 1),  w_hat = s (q - z)
// so v = 0, a = b = 1 is rounding to nearest, bit for bit.
//
// Gradients: rint and float16 pass them straight through, the clamp where it does not bind (m = 1, else 0). With
//   ds = sum g ((q - z) - m w / s),   gz = sum g s (m - 1)
//   v           g s m
//   asymmetric  dst = ds + gz b min / s^2;  d(a max) = dst / (2^b - 1);  d(b min) = -dst / (2^b - 1) - gz / s
//   symmetric   ds times the derivative of the scale, +-1 / (its number of levels), for the side of larger magnitude
//   w           g m, and at the places of max and min what comes through the range: a d(a max), b d(b min)
// T = double with soft rounding (no rint, no float16) is for checks by central differences.
#ifndef EAQ_QUANT_LEARNED_GRID_H_
#define EAQ_QUANT_LEARNED_GRID_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

template <typename T>
class LearnedGrid {
 public:
  // InvalidArgument for a bad grid or less than one column. SOFT: see above.
  static absl::StatusOr<LearnedGrid> Create(int64_t rows, int64_t cols, const GridSpec& spec, bool soft = false,
                                            ScaleStorage storage = ScaleStorage::kFloat16);

  // Grids of the matrix: the length of UPPER and LOWER.
  int64_t grids() const { return spec_.GridCount(rows_, cols_); }

  // W, V, W_HAT [rows, cols], contiguous; V null: zeros. W_HAT may be W.
  void Forward(const T* w, const T* v, const T* upper, const T* lower, T* w_hat) const;

  struct Gradient {
    T* offset = nullptr;  // [rows, cols]; each may be null: not wanted. Written, not added to.
    T* weight = nullptr;  // [rows, cols]; may be the G it is made from
    T* upper = nullptr;   // [grids]
    T* lower = nullptr;
  };
  void Backward(const T* w, const T* v, const T* upper, const T* lower, const T* g, const Gradient& out) const;

  // The codes and grids behind Forward's result. InvalidArgument: weights or scales that are not finite.
  absl::StatusOr<QuantizedMatrix> Finish(const T* w, const T* v, const T* upper, const T* lower) const;

 private:
  struct Grid {
    T scale, zero;               // s, z
    T min, max;                  // of the weights, with 0
    T d_scale_min, d_scale_max;  // of s by b min and a max; the zero's own way apart
  };
  LearnedGrid(int64_t rows, int64_t cols, const GridSpec& spec, bool soft, ScaleStorage storage)
      : rows_(rows), cols_(cols), spec_(spec), soft_(soft), storage_(storage) {}
  // Columns that share a grid; a whole matrix is one run.
  int64_t run() const;
  Grid Find(const T* w, int64_t begin, int64_t n, T upper, T lower) const;

  int64_t rows_, cols_;
  GridSpec spec_;
  bool soft_;
  ScaleStorage storage_;
};

extern template class LearnedGrid<float>;
extern template class LearnedGrid<double>;

}  // namespace eaq

#endif  // EAQ_QUANT_LEARNED_GRID_H_

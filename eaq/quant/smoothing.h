// Smoothing: range moves from a channel of the activations into the weights that read it, the function stays.
//
//   s_j = clamp(clamp(max|x_j|, 1e-5)^a / clamp(max|W_:j|, 1e-5)^(1-a), 1e-5)       (SmoothQuant, eq. 4)
//   x_j <- x_j / s_j (in the norm or the rows that make it),   W_:j <- W_:j s_j
//
// Sources: specs/eaquant.md 1.4 (EAQuant), 6.1 (DuQuant: s floored at 1e-2 as well), 6.3.
#ifndef EAQ_QUANT_SMOOTHING_H_
#define EAQ_QUANT_SMOOTHING_H_

#include <vector>

#include "absl/types/span.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

inline constexpr float kSmoothingFloor = 1e-5f;

// The largest |W[o, j]| over the rows of all WEIGHTS, each [*, n]: [n].
std::vector<float> ColumnAbsMax(absl::Span<const Matrix* const> weights);

// s[n] of the formula above, at least FLOOR. NaN among the inputs gives NaN: check what comes from data.
std::vector<float> SmoothingScales(absl::Span<const float> input_abs_max, absl::Span<const float> weight_abs_max,
                                   double alpha, float floor = kSmoothingFloor);

// W[:, j] *= s[j], W [*, n].
void ScaleColumns(absl::Span<const float> s, Matrix& w);
// W[i, :] /= s[i], W [n, *]; the bias (empty or [n]) likewise.
void DivideRows(absl::Span<const float> s, Matrix& w, std::vector<float>& bias);
// v[j] /= s[j].
void Divide(absl::Span<const float> s, std::vector<float>& v);

}  // namespace eaq

#endif  // EAQ_QUANT_SMOOTHING_H_

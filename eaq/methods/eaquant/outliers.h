// The up -> down outlier rule of EAQuant (specs/eaquant.md 1.4, step 4): channels of down's input whose extremes stand
// out are divided by (extreme / normal extreme)^p, all others stay.
//
//   const std::vector<float> s = OutlierScales(emax, emin, {.ratio = 0.65, .rate = 0.7});   // 1 for normal channels
#ifndef EAQ_METHODS_EAQUANT_OUTLIERS_H_
#define EAQ_METHODS_EAQUANT_OUTLIERS_H_

#include <vector>

#include "absl/types/span.h"

namespace eaq::eaquant {

struct OutlierRule {
  double ratio = 0.65;  // q: the quantiles 1-q and q of the channels' extremes say what is normal
  double rate = 0.7;    // p
};

// Linear interpolation between order statistics, position q (n - 1); values not empty.
double Quantile(absl::Span<const double> values, double q);

// Where to cut the candidates V (not empty) in two, Otsu-like: sorted falling, top v[0..t] and rest, the cut with the
// largest |min(top) - max(rest)| - Var. UPPER: outliers are large, Var is of the rest, and the threshold its first
// element; else they are small, Var is of the top, and the threshold its last element. Of equal cuts the first; with
// one candidate alone that one.
double SplitThreshold(std::vector<double> v, bool upper);

// EMAX, EMIN[channels]: smoothed largest and smallest value of each channel. The scales are finite and positive
// whatever the (finite) input; where the normal extreme is not of the outlier's sign, that side scales nothing.
std::vector<float> OutlierScales(absl::Span<const double> emax, absl::Span<const double> emin, const OutlierRule& rule);

}  // namespace eaq::eaquant

#endif  // EAQ_METHODS_EAQUANT_OUTLIERS_H_

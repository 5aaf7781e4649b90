// Which data set is being served? Guessed from the experts that the running model chooses (moqa.md 5, R12; how the
// paper finds a change is not known).
//
//   EAQ_ASSIGN_OR_RETURN(DataSetDetector detector, DataSetDetector::Create(config, counts, set, 2, {}));
//   for (each window) state = detector.Observe(CountsOf(window));   // the state for the next window
//
// In every mixture layer a running histogram h of choices, which forgets: h <- decay^(tokens / 256) h + counts of the
// window. Its distance from a known set is the Jensen-Shannon divergence from the set's histogram in full precision,
//   JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2,  m = (p + q) / 2,   in nats, the mean over the layers.
// A window votes for the nearest set, or for none (-1) if even that is further than the threshold. After CONSECUTIVE
// windows in a row with one vote, that is the state.
//
// The threshold is options.threshold times the 95th percentile (nearest rank) of the distances that a running histogram
// over each known set's own calibration windows, begun anew, shows from the set itself. R12 has chunks of 4096 tokens
// in its place, and a decay of 0.99, whose memory is longer than an evaluation domain here.
#ifndef EAQ_RECIPE_DATA_SET_DETECTOR_H_
#define EAQ_RECIPE_DATA_SET_DETECTOR_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/model/config.h"
#include "eaq/recipe/stage.h"
#include "eaq/recipe/switching.h"

namespace eaq {

class DataSetDetector {
 public:
  // COUNTS[w]: the choices of calibration window w in full precision; SET[w] of 0 .. SETS-1. InvalidArgument: a set
  // without windows, a model without mixture layers, options out of range (0 < decay < 1, threshold > 0, consecutive
  // >= 1).
  static absl::StatusOr<DataSetDetector> Create(const ModelConfig& config, absl::Span<const ExpertCounts> counts,
                                                absl::Span<const int> set, int sets, const DetectorOptions& options);

  // What the model chose on the next window; returns the state() from then on.
  int Observe(const ExpertCounts& window);
  int state() const { return state_; }
  double threshold() const { return threshold_; }
  // Of the running histogram, from each set; as of the last window.
  const std::vector<double>& distances() const { return distances_; }

 private:
  using Histogram = std::vector<double>;  // [layers * experts], not normalised
  DataSetDetector(const ModelConfig& config, const DetectorOptions& options) : config_(config), options_(options) {}
  void Add(const ExpertCounts& window, Histogram& to) const;
  double Distance(const Histogram& a, const Histogram& b) const;

  ModelConfig config_;
  DetectorOptions options_;
  std::vector<Histogram> reference_;  // [set]
  double threshold_ = 0;
  Histogram running_;
  std::vector<double> distances_;
  int state_ = -1, vote_ = -1, votes_ = 0;
};

// Jensen-Shannon divergence of two lists of weights, not negative, each divided by its sum first; in nats, 0 .. log 2.
// 0 where both sums are 0, log 2 where one is.
double JensenShannon(absl::Span<const double> a, absl::Span<const double> b);

}  // namespace eaq

#endif  // EAQ_RECIPE_DATA_SET_DETECTOR_H_

#include "eaq/recipe/data_set_detector.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace eaq {
namespace {

double Sum(absl::Span<const double> x) { return std::accumulate(x.begin(), x.end(), 0.0); }

}  // namespace

double JensenShannon(absl::Span<const double> a, absl::Span<const double> b) {
  const double sum_a = Sum(a), sum_b = Sum(b);
  if (sum_a == 0 && sum_b == 0) return 0;
  if (sum_a == 0 || sum_b == 0) return std::log(2.0);
  double divergence = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double p = a[i] / sum_a, q = b[i] / sum_b, m = (p + q) / 2;
    if (p > 0) divergence += p / 2 * std::log(p / m);
    if (q > 0) divergence += q / 2 * std::log(q / m);
  }
  return std::max(divergence, 0.0);
}

void DataSetDetector::Add(const ExpertCounts& window, Histogram& to) const {
  int64_t tokens = 0;
  for (int l = 0; l < config_.num_layers && tokens == 0; ++l) {  // of the first mixture layer
    for (int64_t e = 0; e < config_.num_experts; ++e) tokens += window[l * config_.num_experts + e];
  }
  const double kept =
      std::pow(options_.decay, static_cast<double>(tokens) / static_cast<double>(256 * config_.experts_per_token));
  for (size_t i = 0; i < to.size(); ++i) to[i] = kept * to[i] + window[i];
}

double DataSetDetector::Distance(const Histogram& a, const Histogram& b) const {
  double sum = 0;
  int layers = 0;
  for (int l = 0; l < config_.num_layers; ++l) {
    if (!config_.IsMoe(l)) continue;
    const size_t n = config_.num_experts, begin = l * n;
    sum += JensenShannon(absl::MakeConstSpan(a).subspan(begin, n), absl::MakeConstSpan(b).subspan(begin, n));
    ++layers;
  }
  return sum / layers;
}

absl::StatusOr<DataSetDetector> DataSetDetector::Create(const ModelConfig& config,
                                                        absl::Span<const ExpertCounts> counts,
                                                        absl::Span<const int> set, int sets,
                                                        const DetectorOptions& options) {
  if (!(options.decay > 0 && options.decay < 1) || !(options.threshold > 0) || options.consecutive < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "detector: decay ", options.decay, ", threshold ", options.threshold, ", consecutive ", options.consecutive,
        "; expected a decay inside 0 .. 1, a threshold above 0 and 1 window or more"));
  }
  bool mixtures = false;
  for (int l = 0; l < config.num_layers; ++l) mixtures = mixtures || config.IsMoe(l);
  if (!mixtures) return absl::InvalidArgumentError("detector: the model has no mixture layer to watch");
  DataSetDetector detector(config, options);
  const size_t size = config.num_layers * config.num_experts;
  detector.reference_.assign(sets, Histogram(size, 0.0));
  detector.running_.assign(size, 0.0);
  detector.distances_.assign(sets, 0.0);
  for (size_t w = 0; w < counts.size(); ++w) {
    for (size_t i = 0; i < size; ++i) detector.reference_[set[w]][i] += counts[w][i];
  }
  std::vector<double> own;
  for (int d = 0; d < sets; ++d) {
    if (Sum(detector.reference_[d]) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("detector: data set ", d, " has no window"));
    }
    Histogram running(size, 0.0);
    for (size_t w = 0; w < counts.size(); ++w) {
      if (set[w] != d) continue;
      detector.Add(counts[w], running);
      own.push_back(detector.Distance(running, detector.reference_[d]));
    }
  }
  std::sort(own.begin(), own.end());
  detector.threshold_ = options.threshold * own[(19 * own.size() + 19) / 20 - 1];
  return detector;
}

int DataSetDetector::Observe(const ExpertCounts& window) {
  Add(window, running_);
  for (size_t d = 0; d < reference_.size(); ++d) distances_[d] = Distance(running_, reference_[d]);
  const auto nearest = std::min_element(distances_.begin(), distances_.end());
  const int vote = *nearest > threshold_ ? -1 : static_cast<int>(nearest - distances_.begin());
  votes_ = vote == vote_ ? votes_ + 1 : 1;
  vote_ = vote;
  if (votes_ >= options_.consecutive) state_ = vote_;
  return state_;
}

}  // namespace eaq

// Slot 1: no data, random windows, windows balanced over experts.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

absl::Status CheckCount(const std::vector<CalibrationWindow>& candidates, int64_t count) {
  if (count >= 1 && count <= static_cast<int64_t>(candidates.size())) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("cannot choose ", count, " calibration windows of ", candidates.size()));
}

class NoData : public CalibrationSlot {
 public:
  bool uses_data() const override { return false; }
  absl::StatusOr<std::vector<int64_t>> Choose(const std::vector<CalibrationWindow>&, const std::vector<ExpertCounts>&,
                                              int64_t) const override {
    return std::vector<int64_t>();
  }
};

// The candidates were drawn at random already, an equal share from every domain: the first COUNT are the choice.
class Random : public CalibrationSlot {
 public:
  absl::StatusOr<std::vector<int64_t>> Choose(const std::vector<CalibrationWindow>& candidates,
                                              const std::vector<ExpertCounts>&, int64_t count) const override {
    if (absl::Status status = CheckCount(candidates, count); !status.ok()) return status;
    std::vector<int64_t> chosen(count);
    std::iota(chosen.begin(), chosen.end(), 0);
    return chosen;
  }
};

// Greedy: each step takes the candidate that raises sum over experts of sqrt(tokens) most. The square root has
// diminishing returns, so tokens of little-used experts count more; ties go to the first candidate.
class Balanced : public CalibrationSlot {
 public:
  explicit Balanced(int pool_factor) : pool_factor_(pool_factor) {}
  int pool_factor() const override { return pool_factor_; }
  absl::StatusOr<std::vector<int64_t>> Choose(const std::vector<CalibrationWindow>& candidates,
                                              const std::vector<ExpertCounts>& use, int64_t count) const override {
    if (absl::Status status = CheckCount(candidates, count); !status.ok()) return status;
    if (use.size() != candidates.size()) {
      return absl::InvalidArgumentError(absl::StrCat("balanced calibration has ", candidates.size(),
                                                     " candidates, but expert counts of ", use.size()));
    }
    std::vector<double> tokens(use.empty() ? 0 : use[0].size(), 0.0);
    std::vector<bool> taken(candidates.size(), false);
    std::vector<int64_t> chosen;
    while (static_cast<int64_t>(chosen.size()) < count) {
      int64_t best = -1;
      double best_gain = -1;
      for (size_t c = 0; c < candidates.size(); ++c) {
        if (taken[c]) continue;
        double gain = 0;
        for (size_t e = 0; e < tokens.size(); ++e) gain += std::sqrt(tokens[e] + use[c][e]) - std::sqrt(tokens[e]);
        if (gain > best_gain) {
          best = static_cast<int64_t>(c);
          best_gain = gain;
        }
      }
      taken[best] = true;
      chosen.push_back(best);
      for (size_t e = 0; e < tokens.size(); ++e) tokens[e] += use[best][e];
    }
    std::sort(chosen.begin(), chosen.end());
    return chosen;
  }

 private:
  const int pool_factor_;
};

EAQ_REGISTER_STAGE(CalibrationSlot, NoCalibration,
                   [](const NoCalibration&) -> absl::StatusOr<std::unique_ptr<CalibrationSlot>> {
                     return std::make_unique<NoData>();
                   });
EAQ_REGISTER_STAGE(CalibrationSlot, RandomWindows,
                   [](const RandomWindows&) -> absl::StatusOr<std::unique_ptr<CalibrationSlot>> {
                     return std::make_unique<Random>();
                   });
EAQ_REGISTER_STAGE(CalibrationSlot, BalancedWindows,
                   [](const BalancedWindows& options) -> absl::StatusOr<std::unique_ptr<CalibrationSlot>> {
                     if (options.pool_factor() < 1 || options.pool_factor() > 64) {
                       return absl::InvalidArgumentError(
                           absl::StrCat("balanced.pool_factor is ", options.pool_factor(), ", expected 1 .. 64"));
                     }
                     return std::make_unique<Balanced>(options.pool_factor());
                   });

}  // namespace
}  // namespace eaq

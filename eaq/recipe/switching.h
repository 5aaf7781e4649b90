// Run-time switching by data set: what an allocator plans beside the widths (MoQa, moqa.md 5). Some rows of a finished
// model's linears are kept in float16 (quant/row_cache.h) and take another width for every data set that is known.
//
//   known data sets    the calibration's domains
//   further ones       domains of which a sample of calibration text is given as well (PipelineInputs::further)
//   state              -1: the rows as they were rounded; s: the widths for data set s
#ifndef EAQ_RECIPE_SWITCHING_H_
#define EAQ_RECIPE_SWITCHING_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eaq/model/linear_id.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

// Of data_set_detector.h.
struct DetectorOptions {
  double decay = 0.8;
  double threshold = 2;
  int consecutive = 4;
};

// What a stage asks of the program that evaluates its model.
struct SwitchingOptions {
  bool states = true;  // false: the rows never change, there is nothing to switch
  bool told = true;    // the data set is told; else detected
  DetectorOptions detector;
};

// Data sets and the surveys of every layer on their windows. NAMES: in the order of their first window.
struct SurveyedSets {
  std::vector<std::string> names;
  std::vector<std::vector<double>> surveys;
};

struct SwitchPlan {
  std::vector<std::string> sets;                     // known ones first
  int known = 0;                                     // so many of them
  std::map<LinearId, std::vector<int32_t>> rows;     // kept in float16, rising; linears without any are left out
  std::map<LinearId, std::vector<int>> bits_of_set;  // of the same linears: RowCache::bits_of_set
  bool always_float16 = false;                       // the rows are computed in float16 in every state
  TrialResult analyses;                              // metrics and expert tables, for the trial's result
};

// The place of NAME in NAMES, the state of a data set among a plan's sets; -1: there is none of that name.
int PlaceOf(absl::string_view name, absl::Span<const std::string> names);

// Each once, in the order of their first occurrence; INDEX, where given, receives the place of each of NAMES among
// them.
std::vector<std::string> DistinctNames(absl::Span<const std::string> names, std::vector<int>* index = nullptr);

}  // namespace eaq

#endif  // EAQ_RECIPE_SWITCHING_H_

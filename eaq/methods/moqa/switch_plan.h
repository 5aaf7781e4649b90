// From the statistics of all layers and the plans of all data sets to what a switching model keeps and does (moqa.md
// 5), and to the figures of the analysis.
#ifndef EAQ_METHODS_MOQA_SWITCH_PLAN_H_
#define EAQ_METHODS_MOQA_SWITCH_PLAN_H_

#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "eaq/methods/moqa/layer_statistics.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/switching.h"

namespace eaq::moqa {

using ModelStatistics = std::map<int, LayerStatistics>;  // by layer

struct SwitchInputs {
  absl::Span<const AllocationUnit> experts;
  std::vector<std::string> known, further;      // names of the data sets
  const ModelStatistics* of_known = nullptr;    // of all known sets together
  const ModelStatistics* of_further = nullptr;  // likewise; may be null where there are none
  const BitPlan* plan = nullptr;                // the baseline
  std::vector<BitPlan> plan_of_set;             // what the allocator gives on each set alone, known ones first
  std::vector<int> widths;                      // of CacheOptions
  MoQaSwitching::Mode mode = MoQaSwitching::PAPER;
  bool by_damage = false;
};

// The cached rows of a linear are those of its width in the baseline. On a data set they take the width that the
// allocator gives the linear on that set, where it differs from the baseline's and the mode lets it.
//
// Analyses, by layer: tables "significance" [by set], "dynamics" (standard deviation over the known sets, R3), "tokens"
// [by known set], "width" [by set; of the baseline without a domain], "co_activation", "similarity"; metrics
// tokens_variation and sure_gates [by known set], channel_concentration [by pair, "a | b"], channel_top_share; and of
// the whole model cached_rows, and switched_rows [by set]: the share of the cached rows that leave their width.
SwitchPlan BuildSwitchPlan(const SwitchInputs& in);

}  // namespace eaq::moqa

#endif  // EAQ_METHODS_MOQA_SWITCH_PLAN_H_

#include "eaq/recipe/calibrate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/head.h"
#include "eaq/model/layer.h"

namespace eaq {
namespace {

// Counts which experts the tokens of one window choose.
class UseCounter : public LayerObserver {
 public:
  UseCounter(ExpertCounts* counts, int64_t experts) : counts_(counts), experts_(experts) {}
  void OnRouter(int layer, ConstMatrixView, absl::Span<const int32_t> experts, absl::Span<const float>) override {
    for (const int32_t e : experts) ++(*counts_)[layer * experts_ + e];
  }

 private:
  ExpertCounts* const counts_;
  const int64_t experts_;
};

absl::StatusOr<std::vector<ExpertCounts>> CountUse(const std::vector<CalibrationWindow>& candidates,
                                                   const ModelSource& source, ThreadPool& pool) {
  const ModelConfig& config = source.config();
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source.LoadOuter());
  const ModelEnds ends(config, std::move(outer));
  std::vector<ExpertCounts> use(candidates.size(), ExpertCounts(config.num_layers * config.num_experts, 0));
  std::vector<Matrix> hidden(candidates.size());
  pool.ParallelFor(candidates.size(), [&](int64_t w) {
    hidden[w] = Matrix(candidates[w].window.ids.size(), config.hidden_size);
    ends.Embed(candidates[w].window.ids, hidden[w].view());
  });
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, source.LoadLayer(l));
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, std::move(params)));
    pool.ParallelFor(candidates.size(), [&](int64_t w) {
      UseCounter counter(&use[w], config.num_experts);
      layer->Forward(hidden[w].view(), &counter);
    });
  }
  return use;
}

}  // namespace

absl::StatusOr<std::vector<CalibrationWindow>> ChooseCalibration(const CalibrationSlot& stage,
                                                                 const CalibrationData& data,
                                                                 const CorpusSource& corpora,
                                                                 const Tokenizer& tokenizer, const ModelSource& source,
                                                                 ThreadPool& pool) {
  if (!stage.uses_data()) return std::vector<CalibrationWindow>();
  const int64_t count = data.windows(), domains = data.domain_size();
  if (domains == 0) return absl::InvalidArgumentError("calibration: no domain is named; expected at least one");
  const int64_t share = (count + domains - 1) / domains;
  std::vector<std::vector<Window>> offered;
  for (const CorpusRef& domain : data.domain()) {
    EAQ_ASSIGN_OR_RETURN(const auto corpus, corpora(domain));
    EAQ_ASSIGN_OR_RETURN(std::vector<Window> all,
                         CutWindows(*corpus, tokenizer, Split::kCalibration, data.window(), &pool));
    if (static_cast<int64_t>(all.size()) < share) {
      return absl::InvalidArgumentError(absl::StrCat("calibration: domain ", domain.name(), " has ", all.size(),
                                                     " windows of ", data.window(),
                                                     " tokens in its calibration split; expected at least ", share,
                                                     "; ask for fewer or shorter windows, or give more text"));
    }
    Rng rng(data.seed(), absl::StrCat("calibration/", domain.name()));
    offered.push_back(SelectWindows(std::move(all), share * stage.pool_factor(), rng));
  }
  std::vector<CalibrationWindow> candidates;
  for (int64_t round = 0; round < share * stage.pool_factor(); ++round) {
    for (int64_t d = 0; d < domains; ++d) {
      if (round >= static_cast<int64_t>(offered[d].size())) continue;
      candidates.push_back({std::move(offered[d][round]), data.domain(d).name()});
    }
  }
  std::vector<ExpertCounts> use;
  if (stage.pool_factor() > 1) {
    EAQ_ASSIGN_OR_RETURN(use, CountUse(candidates, source, pool));
  }
  EAQ_ASSIGN_OR_RETURN(const std::vector<int64_t> chosen, stage.Choose(candidates, use, count));
  std::vector<CalibrationWindow> windows;
  for (const int64_t i : chosen) {
    if (i < 0 || i >= static_cast<int64_t>(candidates.size())) {
      return absl::InternalError(absl::StrCat("slot calibration chose window ", i, " of ", candidates.size()));
    }
    windows.push_back(candidates[i]);
  }
  return windows;
}

}  // namespace eaq

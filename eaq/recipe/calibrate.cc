#include "eaq/recipe/calibrate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/recipe/calibration_statistics.h"

namespace eaq {
namespace {

// [vocab] not 0: special tokens, and ids that the tokenizer does not know. An id is decoded twice in a row, since some
// decoders take white space off the start of a text.
std::vector<char> BannedIds(const Tokenizer& tokenizer, int64_t vocabulary) {
  std::vector<char> banned(vocabulary);
  for (int32_t id = 0; id < vocabulary; ++id) banned[id] = tokenizer.Decode({id, id}, /*skip_special=*/true).empty();
  return banned;
}

absl::StatusOr<std::vector<CalibrationWindow>> SampleCalibration(const CalibrationSlot& stage,
                                                                 const CalibrationData& data,
                                                                 const Tokenizer& tokenizer, const ModelSource& source,
                                                                 ThreadPool& pool) {
  const std::vector<char> banned = BannedIds(tokenizer, source.config().vocab_size);
  SampleContext context;
  context.source = &source;
  context.banned = banned;
  context.windows = data.windows();
  context.window = data.window();
  context.seed = data.seed();
  context.pool = &pool;
  EAQ_ASSIGN_OR_RETURN(std::vector<CalibrationWindow> windows, stage.Sample(context));
  if (static_cast<int64_t>(windows.size()) == data.windows()) return windows;
  return absl::InternalError(
      absl::StrCat("slot calibration wrote ", windows.size(), " windows; expected ", data.windows()));
}

}  // namespace

absl::StatusOr<std::vector<CalibrationWindow>> ChooseCalibration(const CalibrationSlot& stage,
                                                                 const CalibrationData& data,
                                                                 const CorpusSource& corpora,
                                                                 const Tokenizer& tokenizer, const ModelSource& source,
                                                                 ThreadPool& pool) {
  if (!stage.uses_data()) return std::vector<CalibrationWindow>();
  if (stage.samples()) return SampleCalibration(stage, data, tokenizer, source, pool);
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
    EAQ_ASSIGN_OR_RETURN(use, CountExpertUse(candidates, source, pool));
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

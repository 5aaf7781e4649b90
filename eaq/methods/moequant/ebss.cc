// Slot 1: calibration windows that the full-precision model writes itself. README.md has the equations.
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/moequant/balanced_search.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/stage.h"

namespace eaq::moequant {
namespace {

class EbssCalibration : public CalibrationSlot {
 public:
  explicit EbssCalibration(const SearchOptions& options) : options_(options) {}
  bool samples() const override { return true; }

  absl::StatusOr<std::vector<CalibrationWindow>> Sample(const SampleContext& context) const override {
    EAQ_ASSIGN_OR_RETURN(const auto model, Model::Load(*context.source));
    EAQ_ASSIGN_OR_RETURN(std::vector<WrittenText> texts, WriteTexts(*model, options_, context.banned, context.windows,
                                                                    context.window, context.seed, *context.pool));
    std::vector<CalibrationWindow> windows;
    for (WrittenText& text : texts) {
      const std::string document = absl::StrCat("ebss/", windows.size());
      windows.push_back({{std::move(text.ids), document}, "ebss"});
    }
    return windows;
  }

 private:
  const SearchOptions options_;
};

EAQ_REGISTER_STAGE(CalibrationSlot, Ebss, [](const Ebss& options) -> absl::StatusOr<std::unique_ptr<CalibrationSlot>> {
  SearchOptions search;
  search.tau = options.tau();
  search.beams = options.beams();
  search.sigma = options.sigma() == Ebss::ASSIGNMENTS ? ImbalanceForm::kAssignments : ImbalanceForm::kTokens;
  search.sampled_warm_up = options.warm_up() == Ebss::SAMPLED;
  search.warm_up_min = options.warm_up_min();
  search.warm_up_max = options.warm_up_max();
  EAQ_RETURN_IF_ERROR(Annotate(CheckSearch(search), "ebss"));
  return std::make_unique<EbssCalibration>(search);
});

}  // namespace
}  // namespace eaq::moequant

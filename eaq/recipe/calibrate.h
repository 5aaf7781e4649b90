// Slot 1 at work: the calibration windows of a trial.
//
// Every domain offers windows of its calibration split, drawn by SelectWindows with the stream "calibration/DOMAIN" of
// the data's seed; domains take turns, so the first n candidates hold equal shares. The stage chooses among them. A
// stage that writes its windows by itself (CalibrationSlot::samples) is given the model and no text.
#ifndef EAQ_RECIPE_CALIBRATE_H_
#define EAQ_RECIPE_CALIBRATE_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/params.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/recipe/stage.h"
#include "eaq/text/corpus.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

using CorpusSource = std::function<absl::StatusOr<std::shared_ptr<const Corpus>>(const CorpusRef&)>;

// data.windows() windows of data.window() tokens. The model runs only when STAGE wants to know which experts the
// candidates choose. InvalidArgument when the domains' calibration splits are too small.
absl::StatusOr<std::vector<CalibrationWindow>> ChooseCalibration(const CalibrationSlot& stage,
                                                                 const CalibrationData& data,
                                                                 const CorpusSource& corpora,
                                                                 const Tokenizer& tokenizer, const ModelSource& source,
                                                                 ThreadPool& pool);

}  // namespace eaq

#endif  // EAQ_RECIPE_CALIBRATE_H_

// The token windows of a trial, cached: calibration through slot 1, evaluation the same for every trial of an
// experiment (drawn by the stream "evaluation/DOMAIN" with seed 0).
#ifndef EXPERIMENTS_TRIAL_TEXTS_H_
#define EXPERIMENTS_TRIAL_TEXTS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/base/thread_pool.h"
#include "eaq/eval/choice_task.h"
#include "eaq/eval/evaluate.h"
#include "eaq/model/params.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/recipe/stage.h"
#include "eaq/recipe/stage_cache.h"
#include "eaq/text/corpus.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

class TrialTexts {
 public:
  // All outlive this object. SALT enters every cache key.
  TrialTexts(const TrialSpec& spec, const ModelSource& source, const Tokenizer& tokenizer, const StageCache& cache,
             const std::string& salt, ThreadPool& pool);

  // All append the stages they are to STAGES. FailedPrecondition when a corpus is not the one that was planned with.
  absl::StatusOr<std::vector<CalibrationWindow>> Calibration(const CalibrationSlot& stage,
                                                             std::vector<StageRun>& stages);
  // Of windows that STAGE has written (CalibrationSlot::samples), else nothing: how evenly they use the experts and how
  // much they repeat themselves, beside windows drawn at random from the calibration's texts, if these suffice. The
  // README of eaq/methods/moequant lists the metrics.
  absl::StatusOr<std::vector<Metric>> CalibrationMetrics(const CalibrationSlot& stage,
                                                         const std::vector<CalibrationWindow>& windows,
                                                         std::vector<StageRun>& stages);
  // For models that are told the data set: windows of the calibration split of every evaluation domain that the
  // calibration has not, as many of each as the calibration has of one of its own, drawn in the same way. None where it
  // has them all.
  absl::StatusOr<std::vector<CalibrationWindow>> FurtherSets(std::vector<StageRun>& stages);
  absl::StatusOr<std::vector<EvaluationDomain>> Evaluation(std::vector<StageRun>& stages);
  // The tasks of the evaluation as token sequences. FailedPrecondition when the items are not those of the plan.
  absl::StatusOr<std::vector<ChoiceTask>> Tasks(std::vector<StageRun>& stages);

 private:
  absl::StatusOr<std::shared_ptr<const Corpus>> Load(const CorpusRef& ref);
  // Those of STAGE, which OPTIONS describes, of DATA, recorded under NAME.
  absl::StatusOr<std::vector<CalibrationWindow>> Calibration(const std::string& name, const CalibrationStage& options,
                                                             const CalibrationSlot& stage, const CalibrationData& data,
                                                             std::vector<StageRun>& stages);
  absl::StatusOr<std::vector<CalibrationWindow>> CutEvaluation();
  absl::StatusOr<ChoiceTask> NextSegments(const EvaluationTask& spec, std::vector<StageRun>& stages);
  absl::Status CheckIds(const std::vector<CalibrationWindow>& windows) const;

  const TrialSpec& spec_;
  const ModelSource& source_;
  const Tokenizer& tokenizer_;
  const StageCache& cache_;
  const std::string salt_;
  ThreadPool& pool_;
  std::map<std::string, std::string> expected_;  // corpus name -> sha256 of the plan
  std::map<std::string, std::shared_ptr<const Corpus>> loaded_;
};

}  // namespace eaq

#endif  // EXPERIMENTS_TRIAL_TEXTS_H_

// The evaluation windows through a model that switches by data set (recipe/switching.h).
//
//   TOLD       every domain in the state of its own name, where the model knows it, else of none
//   DETECTED   the domains one after the other as one stream; a window runs in the state that the detector was in after
//              the window before
//
// A window's numbers depend on its state alone, so the stream need not be run window by window through the whole model:
// with one layer resident, all windows run in every state, and the detector then picks.
#ifndef EXPERIMENTS_SWITCHED_TRACER_H_
#define EXPERIMENTS_SWITCHED_TRACER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/eval/evaluate.h"
#include "eaq/eval/trace.h"
#include "eaq/model/head.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/recipe/data_set_detector.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/switching.h"

namespace eaq {

class SwitchedTracer {
 public:
  // DOMAINS and ENDS outlive this object. SWITCHING: as the allocator has it; nullopt, or one without states: a Tracer.
  // KNOWN: the calibration's domains, distinct.
  SwitchedTracer(const ModelEnds& ends, const std::vector<EvaluationDomain>& domains,
                 const std::optional<SwitchingOptions>& switching, std::vector<std::string> known, ThreadPool& pool);

  void Advance(const FinishedLayer& layer, ThreadPool& pool);
  // The same by RUN, which runs one state of the layer over some windows (Tracer::Forward): on a device. RUN is called
  // once for neighbouring windows in one state. Its error leaves this object unusable.
  using Run =
      absl::FunctionRef<absl::Status(const DecoderLayer& state, MatrixView hidden, absl::Span<const int64_t> lengths,
                                     absl::Span<LayerObserver* const> observers)>;
  absl::Status Advance(const FinishedLayer& layer, Run run);

  // Whether Finish needs the choices of the calibration windows.
  bool detects() const { return detects_; }
  // COUNTS[w]: the experts that calibration window w chooses in full precision, SET[w] its place in KNOWN; both empty
  // unless detects(). Adds to RESULT, told: told_known [by domain], 1 where the model knew the domain from calibration;
  // detected: detector_threshold, detector_switches, and by domain the shares of its windows run in the state of its
  // own data set (detector_right, of known domains), of another (detector_wrong) and of none (detector_none), and the
  // windows until the first right one (detector_delay, of known domains; all of them where none was right).
  absl::StatusOr<ModelTrace> Finish(absl::Span<const ExpertCounts> counts, absl::Span<const int> set,
                                    TrialResult& result);

 private:
  // Of each window, the layer that it is told to run in.
  std::vector<const DecoderLayer*> Told(const FinishedLayer& layer) const;
  ExpertCounts CountsOf(const ModelTrace& trace, size_t window) const;
  absl::StatusOr<ModelTrace> Detect(absl::Span<const ExpertCounts> counts, absl::Span<const int> set,
                                    TrialResult& result);

  const ModelConfig& config_;
  const std::vector<EvaluationDomain>& domains_;
  const std::vector<std::string> known_;
  const bool tells_, detects_;
  const DetectorOptions detector_;
  std::vector<Tracer> tracers_;  // one; if detecting, of the state of none, then of each known set
};

}  // namespace eaq

#endif  // EXPERIMENTS_SWITCHED_TRACER_H_

// A trial on a device (eaq/device): what quantizes there, the evaluation windows and the candidates of tasks through
// the layers of the model that is measured, and the windows' losses.
#ifndef EXPERIMENTS_DEVICE_EVALUATION_H_
#define EXPERIMENTS_DEVICE_EVALUATION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/device/device_runner.h"
#include "eaq/eval/choice_trace.h"
#include "eaq/eval/score.h"
#include "eaq/eval/trace.h"
#include "eaq/model/config.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/stage.h"
#include "experiments/switched_tracer.h"

namespace eaq {

// FailedPrecondition where BACKEND ("cpu", "emulation", "cuda") is not to be had here, with what to do.
absl::Status CheckBackend(const std::string& backend);

class DeviceEvaluation {
 public:
  // Of models of CONFIG; MAX_ROWS: tokens (and keys of an item of a task) that must go through a layer together at
  // least. Errors as CheckBackend.
  static absl::StatusOr<std::unique_ptr<DeviceEvaluation>> Create(const std::string& backend, const ModelConfig& config,
                                                                  int64_t max_rows);

  // For the pipeline, before a DeviceLayer and after.
  const QuantizeOps& ops() const { return *ops_; }

  // The heads of the full-precision model, ENDS, and of the one that is measured, MEASURED (may be the same object), on
  // the device: no logits come back. Lives as long as this object does.
  absl::StatusOr<std::unique_ptr<WindowScorer>> Scorer(const ModelEnds& ends, const ModelEnds& measured);

  const std::string& device_name() const { return runner_->device().properties().name; }

 private:
  friend class DeviceLayer;
  DeviceEvaluation() = default;
  std::unique_ptr<DeviceRunner> runner_;
  std::unique_ptr<QuantizeOps> ops_;
};

// One layer on the device, over all that goes through it; in several states where the model switches, the one uploaded
// last stays for the next call.
class DeviceLayer {
 public:
  // SOLVED: the layer's quantized linears, or null. DEVICE, SOLVED and all states outlive this object.
  DeviceLayer(DeviceEvaluation& device, const SolvedLinears* solved) : device_(device), solved_(solved) {}

  // Over all windows, or candidates. Unimplemented, with linear and reason, where the layer does not run on a device.
  absl::Status Advance(const DecoderLayer& layer, Tracer& tracer);
  absl::Status Advance(const DecoderLayer& layer, ChoiceTracer& tracer);
  absl::Status Advance(const FinishedLayer& layer, SwitchedTracer& tracer);

 private:
  absl::Status Run(const DecoderLayer& state, MatrixView hidden, absl::Span<const int64_t> lengths,
                   absl::Span<LayerObserver* const> observers, absl::Span<const uint8_t> branches);

  DeviceEvaluation& device_;
  const SolvedLinears* const solved_;
  const DecoderLayer* loaded_ = nullptr;
};

}  // namespace eaq

#endif  // EXPERIMENTS_DEVICE_EVALUATION_H_

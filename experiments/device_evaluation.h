// A trial on a device (eaq/device): what quantizes there, and the evaluation windows through the quantized layers.
#ifndef EXPERIMENTS_DEVICE_EVALUATION_H_
#define EXPERIMENTS_DEVICE_EVALUATION_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/device/device_runner.h"
#include "eaq/eval/trace.h"
#include "eaq/model/config.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/recipe/stage.h"

namespace eaq {

// FailedPrecondition where BACKEND ("cpu", "emulation", "cuda") is not to be had here, with what to do.
absl::Status CheckBackend(const std::string& backend);

// OK on the CPU. Else as CheckBackend, and NotOnDevice for tasks and for experts that are dropped at run time.
absl::Status CheckRunsOnDevice(const TrialSpec& spec);

// InvalidArgument: WHAT runs on the CPU alone, and SPEC asks for another backend.
absl::Status NotOnDevice(const TrialSpec& spec, absl::string_view what);

class DeviceEvaluation {
 public:
  // Of models of CONFIG. Errors as CheckBackend.
  static absl::StatusOr<std::unique_ptr<DeviceEvaluation>> Create(const std::string& backend,
                                                                  const ModelConfig& config);

  // LAYER over all windows of TRACER. SOLVED: its quantized linears, or null. Unimplemented, with linear and reason,
  // where the layer does not run on a device.
  absl::Status Advance(const DecoderLayer& layer, const SolvedLinears* solved, Tracer& tracer);

  // For the pipeline, between the calls of Advance.
  const QuantizeOps& ops() const { return *ops_; }

  const std::string& device_name() const { return runner_->device().properties().name; }

 private:
  DeviceEvaluation() = default;
  std::unique_ptr<DeviceRunner> runner_;
  std::unique_ptr<QuantizeOps> ops_;
};

}  // namespace eaq

#endif  // EXPERIMENTS_DEVICE_EVALUATION_H_

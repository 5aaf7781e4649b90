#include "experiments/device_evaluation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/device_ops.h"
#include "kernels/device/open.h"

namespace eaq {

namespace {

absl::StatusOr<kernels::BackendKind> ParseKind(const std::string& backend) {
  kernels::BackendKind kind;
  if (kernels::ParseBackend(backend, &kind) && kind != kernels::BackendKind::kReference) return kind;
  return absl::InvalidArgumentError(absl::StrCat("backend \"", backend, "\"; expected cpu, emulation or cuda"));
}

}  // namespace

absl::Status CheckBackend(const std::string& backend) {
  EAQ_ASSIGN_OR_RETURN(const kernels::BackendKind kind, ParseKind(backend));
  std::unique_ptr<kernels::Backend> opened;
  const kernels::BackendStatus status = kernels::OpenBackend(kind, &opened);
  return status.ok() ? absl::OkStatus() : absl::FailedPreconditionError(status.text());
}

absl::Status NotOnDevice(const TrialSpec& spec, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " with backend \"", spec.backend(), "\"; expected backend \"cpu\", which alone has it"));
}

absl::Status CheckRunsOnDevice(const TrialSpec& spec) {
  if (spec.backend() == "cpu") return absl::OkStatus();
  if (spec.evaluation().task_size() > 0) return NotOnDevice(spec, "tasks");
  if (spec.recipe().has_online_pruning()) return NotOnDevice(spec, "online_pruning");
  return CheckBackend(spec.backend());
}

absl::StatusOr<std::unique_ptr<DeviceEvaluation>> DeviceEvaluation::Create(const std::string& backend,
                                                                           const ModelConfig& config) {
  EAQ_ASSIGN_OR_RETURN(const kernels::BackendKind kind, ParseKind(backend));
  std::unique_ptr<DeviceEvaluation> evaluation(new DeviceEvaluation);
  EAQ_ASSIGN_OR_RETURN(evaluation->runner_, DeviceRunner::Create(kind, config));
  evaluation->ops_ = DeviceOps(evaluation->runner_->backend());
  return evaluation;
}

absl::Status DeviceEvaluation::Advance(const DecoderLayer& layer, const SolvedLinears* solved, Tracer& tracer) {
  const auto codes = [&](const LinearId& id) -> const QuantizedMatrix* {
    if (solved == nullptr) return nullptr;
    const auto at = solved->find(id);
    return at == solved->end() ? nullptr : &at->second.weight;
  };
  EAQ_ASSIGN_OR_RETURN(const LayerImage image, MakeLayerImage(layer, codes));
  EAQ_RETURN_IF_ERROR(runner_->Load(image));
  EAQ_RETURN_IF_ERROR(runner_->NextLayer());
  return tracer.Advance(layer.norms().layer, [&](MatrixView hidden, absl::Span<const int64_t> lengths,
                                                 absl::Span<LayerObserver* const> observers) {
    return runner_->Forward(hidden, lengths, observers);
  });
}

}  // namespace eaq

#include "experiments/device_evaluation.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/device_head.h"
#include "eaq/device/device_ops.h"
#include "kernels/device/open.h"

namespace eaq {

namespace {

absl::StatusOr<kernels::BackendKind> ParseKind(const std::string& backend) {
  kernels::BackendKind kind;
  if (kernels::ParseBackend(backend, &kind) && kind != kernels::BackendKind::kReference) return kind;
  return absl::InvalidArgumentError(absl::StrCat("backend \"", backend, "\"; expected cpu, emulation or cuda"));
}

class DeviceScorer : public WindowScorer {
 public:
  // MEASURED null: it is FULL.
  DeviceScorer(std::unique_ptr<DeviceHead> full, std::unique_ptr<DeviceHead> measured)
      : full_(std::move(full)), measured_(std::move(measured)) {}

  absl::StatusOr<std::vector<double>> LogProbabilities(ConstMatrixView hidden,
                                                       absl::Span<const int32_t> targets) override {
    return (measured_ == nullptr ? full_ : measured_)->LogProbabilities(hidden, targets);
  }
  absl::StatusOr<std::vector<RowComparison>> Compare(ConstMatrixView full, ConstMatrixView quantized,
                                                     absl::Span<const int32_t> targets, int64_t top_k) override {
    EAQ_ASSIGN_OR_RETURN(const DeviceHead::Comparison both,
                         full_->Compare(full, quantized, targets, static_cast<int>(top_k), measured_.get()));
    std::vector<RowComparison> rows(targets.size());
    for (size_t r = 0; r < rows.size(); ++r) {
      rows[r].full = both.full[r];
      rows[r].quantized = both.other[r];
      rows[r].kl = both.divergences[r].kl;
      rows[r].agree = both.divergences[r].agree;
      if (top_k > 0) rows[r].common = both.common[r];
    }
    return rows;
  }

 private:
  const std::unique_ptr<DeviceHead> full_, measured_;
};

}  // namespace

absl::Status CheckBackend(const std::string& backend) {
  EAQ_ASSIGN_OR_RETURN(const kernels::BackendKind kind, ParseKind(backend));
  std::unique_ptr<kernels::Backend> opened;
  const kernels::BackendStatus status = kernels::OpenBackend(kind, &opened);
  return status.ok() ? absl::OkStatus() : absl::FailedPreconditionError(status.text());
}

absl::StatusOr<std::unique_ptr<DeviceEvaluation>> DeviceEvaluation::Create(const std::string& backend,
                                                                           const ModelConfig& config,
                                                                           int64_t max_rows) {
  EAQ_ASSIGN_OR_RETURN(const kernels::BackendKind kind, ParseKind(backend));
  std::unique_ptr<DeviceEvaluation> evaluation(new DeviceEvaluation);
  DeviceRunner::Options options;
  options.max_rows = std::max(options.max_rows, max_rows);
  EAQ_ASSIGN_OR_RETURN(evaluation->runner_, DeviceRunner::Create(kind, config, options));
  evaluation->ops_ = DeviceOps(evaluation->runner_->backend());
  return evaluation;
}

absl::StatusOr<std::unique_ptr<WindowScorer>> DeviceEvaluation::Scorer(const ModelEnds& ends,
                                                                       const ModelEnds& measured) {
  std::unique_ptr<DeviceHead> own;
  EAQ_ASSIGN_OR_RETURN(std::unique_ptr<DeviceHead> full, DeviceHead::Create(runner_->backend(), ends));
  if (&measured != &ends) {
    EAQ_ASSIGN_OR_RETURN(own, DeviceHead::Create(runner_->backend(), measured));
  }
  return std::make_unique<DeviceScorer>(std::move(full), std::move(own));
}

absl::Status DeviceLayer::Run(const DecoderLayer& state, MatrixView hidden, absl::Span<const int64_t> lengths,
                              absl::Span<LayerObserver* const> observers, absl::Span<const uint8_t> branches) {
  DeviceRunner& runner = *device_.runner_;
  if (loaded_ != &state) {
    const auto codes = [&](const LinearId& id) -> const QuantizedMatrix* {
      if (solved_ == nullptr) return nullptr;
      const auto at = solved_->find(id);
      return at == solved_->end() ? nullptr : &at->second.weight;
    };
    EAQ_ASSIGN_OR_RETURN(const LayerImage image, MakeLayerImage(state, codes));
    EAQ_RETURN_IF_ERROR(runner.Load(image));
    EAQ_RETURN_IF_ERROR(runner.NextLayer());
    loaded_ = &state;
  }
  return runner.Forward(hidden, lengths, observers, branches);
}

absl::Status DeviceLayer::Advance(const DecoderLayer& layer, Tracer& tracer) {
  return tracer.Advance(layer.norms().layer, [&](MatrixView hidden, absl::Span<const int64_t> lengths,
                                                 absl::Span<LayerObserver* const> observers) {
    return Run(layer, hidden, lengths, observers, {});
  });
}

absl::Status DeviceLayer::Advance(const DecoderLayer& layer, ChoiceTracer& tracer) {
  return tracer.Advance([&](MatrixView hidden, absl::Span<const int64_t> lengths, absl::Span<const uint8_t> branches) {
    return Run(layer, hidden, lengths, {}, branches);
  });
}

absl::Status DeviceLayer::Advance(const FinishedLayer& layer, SwitchedTracer& tracer) {
  return tracer.Advance(
      layer, [&](const DecoderLayer& state, MatrixView hidden, absl::Span<const int64_t> lengths,
                 absl::Span<LayerObserver* const> observers) { return Run(state, hidden, lengths, observers, {}); });
}

}  // namespace eaq

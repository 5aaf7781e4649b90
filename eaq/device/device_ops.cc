#include "eaq/device/device_ops.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/device_gptq.h"
#include "eaq/quant/gptq_rounder.h"

namespace eaq {
namespace {

// One thread at a time has the device.
struct Shared {
  kernels::Backend& backend;
  absl::Mutex mutex;
};

class Sum : public MomentSum {
 public:
  Sum(Shared& shared, int64_t size) : shared_(shared), sum_(shared.backend, size) {}
  absl::Status Add(ConstMatrixView x, absl::Span<const float> token_weights) override {
    const absl::MutexLock lock(&shared_.mutex);
    return sum_.Add(x, token_weights);
  }
  absl::StatusOr<Hessian> Finish() override {
    const absl::MutexLock lock(&shared_.mutex);
    return sum_.Finish();
  }

 private:
  Shared& shared_;
  DeviceMoments sum_;
};

class Ops : public QuantizeOps {
 public:
  explicit Ops(kernels::Backend& backend) : shared_{backend, {}}, name_(kernels::Name(backend.kind())) {}

  std::string name() const override { return name_; }

  absl::StatusOr<std::unique_ptr<MomentSum>> Moments(int64_t size) const override {
    return std::make_unique<Sum>(shared_, size);
  }

  absl::StatusOr<GptqResult> Gptq(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                  const GptqOptions& options) const override {
    const auto round = [&](const GptqColumns& columns) -> absl::StatusOr<std::vector<uint8_t>> {
      const absl::MutexLock lock(&shared_.mutex);
      return DeviceRounder(shared_.backend)(columns);
    };
    absl::StatusOr<GptqResult> result = GptqSolve(w, hessian, spec, options, round);
    if (!absl::IsUnimplemented(result.status())) return result;
    EAQ_ASSIGN_OR_RETURN(result, GptqSolve(w, hessian, spec, options));
    std::string& note = result->report.note;
    absl::StrAppend(&note, note.empty() ? "" : "; ", "rounded on the CPU");
    return result;
  }

 private:
  mutable Shared shared_;
  const std::string name_;
};

}  // namespace

std::unique_ptr<QuantizeOps> DeviceOps(kernels::Backend& backend) { return std::make_unique<Ops>(backend); }

}  // namespace eaq

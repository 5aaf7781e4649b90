#include "eaq/device/device_ops.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/device_gptq.h"
#include "eaq/device/device_layer.h"
#include "eaq/device/device_nearest.h"
#include "eaq/device/device_product.h"
#include "eaq/quant/gptq_rounder.h"
#include "kernels/backend.h"

namespace eaq {
namespace {

// One thread at a time has the device.
struct Shared {
  kernels::Backend& backend;
  absl::Mutex mutex;
};

class Sum : public MomentSum {
 public:
  Sum(Shared& shared, int64_t size) : shared_(shared) { sum_.emplace(shared.backend, size); }
  ~Sum() override {
    const absl::MutexLock lock(&shared_.mutex);
    sum_.reset();  // its memory on the device
  }
  absl::Status Add(ConstMatrixView x, absl::Span<const float> token_weights) override {
    const absl::MutexLock lock(&shared_.mutex);
    return sum_->Add(x, token_weights);
  }
  absl::StatusOr<Hessian> Finish() override {
    const absl::MutexLock lock(&shared_.mutex);
    return sum_->Finish();
  }

 private:
  Shared& shared_;
  std::optional<DeviceMoments> sum_;
};

void AddNote(const char* text, std::string& note) { absl::StrAppend(&note, note.empty() ? "" : "; ", text); }

class Ops : public QuantizeOps {
 public:
  explicit Ops(kernels::Backend& backend) : shared_{backend, {}}, name_(kernels::Name(backend.kind())) {}

  std::string name() const override { return name_; }

  absl::Status ForwardLayer(const DecoderLayer& layer, const CodesOf& codes, absl::Span<Matrix> hidden,
                            absl::Span<LayerObserver* const> observers, ThreadPool&) const override {
    const absl::MutexLock lock(&shared_.mutex);
    return DeviceForward(shared_.backend, layer, codes, hidden, observers);
  }

  absl::StatusOr<std::unique_ptr<MomentSum>> Moments(int64_t size) const override {
    return std::make_unique<Sum>(shared_, size);
  }

  absl::StatusOr<NearestResult> Nearest(ConstMatrixView w, const GridSpec& spec,
                                        const GridRange& range) const override {
    if (!KernelsFindGrids(w, spec, range)) {
      EAQ_ASSIGN_OR_RETURN(NearestResult result, CpuOps().Nearest(w, spec, range));
      AddNote("rounded on the CPU", result.note);
      return result;
    }
    const absl::MutexLock lock(&shared_.mutex);
    NearestResult result;
    EAQ_ASSIGN_OR_RETURN(result.weight, DeviceNearest(shared_.backend, w, spec, range));
    return result;
  }

  absl::StatusOr<QuantizedMatrix> OnGrids(ConstMatrixView w, const GridSpec& spec,
                                          std::vector<GridParams> grids) const override {
    if (!KernelsRound(w, spec, grids)) return CpuOps().OnGrids(w, spec, std::move(grids));
    const absl::MutexLock lock(&shared_.mutex);
    return DeviceOnGrids(shared_.backend, w, spec, std::move(grids));
  }

  absl::StatusOr<GptqResult> Gptq(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                  const GptqOptions& options) const override {
    const auto round = [&](const GptqColumns& columns) -> absl::StatusOr<std::vector<uint8_t>> {
      const absl::MutexLock lock(&shared_.mutex);
      return DeviceRounder(shared_.backend)(columns);
    };
    std::string nearest_note;
    const auto nearest = [&](ConstMatrixView values, const GridSpec& grid,
                             const ClipSearchSpec* clip) -> absl::StatusOr<QuantizedMatrix> {
      GridRange range;
      if (clip != nullptr) range.clip = *clip;
      EAQ_ASSIGN_OR_RETURN(NearestResult result, Nearest(values, grid, range));
      if (!result.note.empty()) nearest_note = "grids found on the CPU";
      return std::move(result.weight);
    };
    absl::StatusOr<GptqResult> result = GptqSolve(w, hessian, spec, options, round, nearest);
    if (absl::IsUnimplemented(result.status())) {
      EAQ_ASSIGN_OR_RETURN(result, GptqSolve(w, hessian, spec, options));
      AddNote("rounded on the CPU", result->report.note);
      return result;
    }
    EAQ_RETURN_IF_ERROR(result.status());
    const bool salient = options.salient && !result->report.fell_back_to_nearest;
    if (salient) nearest_note = "grids found on the CPU";
    if (!nearest_note.empty()) AddNote(nearest_note.c_str(), result->report.note);
    return result;
  }

  absl::StatusOr<Matrix> Product(ConstMatrixView x, ConstMatrixView w) const override {
    const absl::MutexLock lock(&shared_.mutex);
    return DeviceProduct(shared_.backend, x, w);
  }

  absl::StatusOr<Matrix> Forward(const DenseLinear& linear, ConstMatrixView x) const override {
    Matrix rows;
    if (linear.online() != nullptr && x.rows > 0) {
      rows = Matrix(x);
      linear.online()->ApplyToInput(rows.view());
      x = rows.const_view();
    }
    EAQ_ASSIGN_OR_RETURN(Matrix y, Product(x, linear.weight().const_view()));
    if (linear.bias().empty()) return y;
    for (int64_t r = 0; r < y.rows(); ++r) kernels::Axpy(1.0f, linear.bias().data(), y.row(r), y.cols());
    return y;
  }

 private:
  mutable Shared shared_;
  const std::string name_;
};

}  // namespace

std::unique_ptr<QuantizeOps> DeviceOps(kernels::Backend& backend) { return std::make_unique<Ops>(backend); }

}  // namespace eaq

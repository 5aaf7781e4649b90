#include "eaq/quant/quantize_ops.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/fake_quant.h"
#include "kernels/cpu/gemm.h"

namespace eaq {
namespace {

class CpuSum : public MomentSum {
 public:
  explicit CpuSum(int64_t size) : sum_(size) {}
  absl::Status Add(ConstMatrixView x, absl::Span<const float> token_weights) override {
    return sum_.Add(x, token_weights);
  }
  absl::StatusOr<Hessian> Finish() override { return sum_.Finish(); }

 private:
  HessianAccumulator sum_;
};

class Cpu : public QuantizeOps {
 public:
  std::string name() const override { return "cpu"; }
  absl::Status ForwardLayer(const DecoderLayer& layer, const CodesOf&, absl::Span<Matrix> hidden,
                            absl::Span<LayerObserver* const> observers, ThreadPool& pool) const override {
    pool.ParallelFor(hidden.size(),
                     [&](int64_t w) { layer.Forward(hidden[w].view(), observers.empty() ? nullptr : observers[w]); });
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<MomentSum>> Moments(int64_t size) const override {
    return std::make_unique<CpuSum>(size);
  }
  absl::StatusOr<NearestResult> Nearest(ConstMatrixView w, const GridSpec& spec,
                                        const GridRange& range) const override {
    NearestResult result;
    if (!range.ratio) {
      EAQ_ASSIGN_OR_RETURN(result.weight, QuantizeNearest(w, spec, range.clip ? &*range.clip : nullptr));
      return result;
    }
    if (range.clip) {
      return absl::InvalidArgumentError(
          "rounding to nearest with a clip search and a ratio of the range; expected one of them");
    }
    EAQ_ASSIGN_OR_RETURN(std::vector<GridParams> grids, FindRatioGrids(w, spec, *range.ratio));
    EAQ_ASSIGN_OR_RETURN(result.weight, QuantizeOnGrids(w, spec, std::move(grids)));
    return result;
  }
  absl::StatusOr<QuantizedMatrix> OnGrids(ConstMatrixView w, const GridSpec& spec,
                                          std::vector<GridParams> grids) const override {
    return QuantizeOnGrids(w, spec, std::move(grids));
  }
  absl::StatusOr<GptqResult> Gptq(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                  const GptqOptions& options) const override {
    return GptqSolve(w, hessian, spec, options);
  }
  absl::StatusOr<Matrix> Product(ConstMatrixView x, ConstMatrixView w) const override {
    if (x.rows > 0 && x.cols != w.cols) {
      return absl::InvalidArgumentError(absl::StrCat("product of [", x.rows, ", ", x.cols, "] and [", w.rows, ", ",
                                                     w.cols, "] transposed; expected as many columns"));
    }
    Matrix y(x.rows, w.rows);
    kernels::Gemm(false, true, x.rows, w.rows, w.cols, 1.0f, x.data, x.stride, w.data, w.stride, 0.0f, y.data(),
                  y.cols());
    return y;
  }
  absl::StatusOr<Matrix> Forward(const DenseLinear& linear, ConstMatrixView x) const override {
    Matrix y(x.rows, linear.out_features());
    linear.Forward(x, y.view());
    return y;
  }
};

}  // namespace

const QuantizeOps& CpuOps() {
  static const Cpu* const ops = new Cpu;
  return *ops;
}

}  // namespace eaq

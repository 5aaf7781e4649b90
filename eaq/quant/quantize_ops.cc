#include "eaq/quant/quantize_ops.h"

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
  absl::StatusOr<std::unique_ptr<MomentSum>> Moments(int64_t size) const override {
    return std::make_unique<CpuSum>(size);
  }
  absl::StatusOr<GptqResult> Gptq(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                  const GptqOptions& options) const override {
    return GptqSolve(w, hessian, spec, options);
  }
};

}  // namespace

const QuantizeOps& CpuOps() {
  static const Cpu* const ops = new Cpu;
  return *ops;
}

}  // namespace eaq

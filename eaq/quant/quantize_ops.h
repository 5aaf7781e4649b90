// Where the arithmetic of quantization runs: second moments of inputs and GPTQ's rounding, on the CPU (CpuOps, the
// functions of this room) or on a device (eaq/device/device_ops.h). Stages get it through LayerContext::ops.
#ifndef EAQ_QUANT_QUANTIZE_OPS_H_
#define EAQ_QUANT_QUANTIZE_OPS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/gptq.h"
#include "eaq/quant/hessian.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// A sum of w x x^T that grows. What comes out depends on the sequence of rows alone, not on how calls cut it.
class MomentSum {
 public:
  virtual ~MomentSum() = default;
  // As HessianAccumulator::Add.
  virtual absl::Status Add(ConstMatrixView x, absl::Span<const float> token_weights = {}) = 0;
  // Once, at the end.
  virtual absl::StatusOr<Hessian> Finish() = 0;
};

// Thread-safe.
class QuantizeOps {
 public:
  virtual ~QuantizeOps() = default;
  // Enters the keys of cached stages: results of one name are the same bits.
  virtual std::string name() const = 0;
  // An empty sum over inputs of SIZE channels.
  virtual absl::StatusOr<std::unique_ptr<MomentSum>> Moments(int64_t size) const = 0;
  // As GptqSolve.
  virtual absl::StatusOr<GptqResult> Gptq(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                          const GptqOptions& options) const = 0;
};

const QuantizeOps& CpuOps();

}  // namespace eaq

#endif  // EAQ_QUANT_QUANTIZE_OPS_H_

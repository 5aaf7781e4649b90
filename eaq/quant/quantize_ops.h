// Where the arithmetic of quantization runs: layers over calibration windows, second moments of inputs, grids of
// weights and rounding on them, GPTQ, and the products that searches judge by; on the CPU (CpuOps, the functions of
// this room) or on a device (eaq/device/device_ops.h). Stages get it through LayerContext::ops.
#ifndef EAQ_QUANT_QUANTIZE_OPS_H_
#define EAQ_QUANT_QUANTIZE_OPS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/layer.h"
#include "eaq/model/linear.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/observer.h"
#include "eaq/quant/clip_search.h"
#include "eaq/quant/gptq.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/hessian.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/quant/ratio_search.h"
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

// How the range of a weight's grids is found, from its values alone. Neither: the whole range; not both.
struct GridRange {
  std::optional<ClipSearchSpec> clip = std::nullopt;
  std::optional<RatioSpec> ratio = std::nullopt;
};

struct NearestResult {
  QuantizedMatrix weight;
  std::string note;  // where it ran, if not where it was asked to; empty otherwise
};

// The codes of a linear of a layer, or null where it is not quantized or has its own.
using CodesOf = std::function<const QuantizedMatrix*(const LinearId&)>;
inline const QuantizedMatrix* NoCodes(const LinearId&) { return nullptr; }

// Thread-safe.
class QuantizeOps {
 public:
  virtual ~QuantizeOps() = default;
  // Enters the keys of cached stages: results of one name are the same bits.
  virtual std::string name() const = 0;
  // HIDDEN, windows of [tokens, hidden_size] each, through LAYER, in place. OBSERVERS: none, or one a window. A device
  // multiplies by CODES where it can; where it cannot run the layer, the error is Unimplemented and says why.
  virtual absl::Status ForwardLayer(const DecoderLayer& layer, const CodesOf& codes, absl::Span<Matrix> hidden,
                                    absl::Span<LayerObserver* const> observers, ThreadPool& pool) const = 0;
  // An empty sum over inputs of SIZE channels.
  virtual absl::StatusOr<std::unique_ptr<MomentSum>> Moments(int64_t size) const = 0;
  // As QuantizeNearest; with RANGE.ratio as FindRatioGrids and QuantizeOnGrids. InvalidArgument also for both ways.
  virtual absl::StatusOr<NearestResult> Nearest(ConstMatrixView w, const GridSpec& spec,
                                                const GridRange& range) const = 0;
  // As QuantizeOnGrids, to the bit.
  virtual absl::StatusOr<QuantizedMatrix> OnGrids(ConstMatrixView w, const GridSpec& spec,
                                                  std::vector<GridParams> grids) const = 0;
  // As GptqSolve.
  virtual absl::StatusOr<GptqResult> Gptq(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                          const GptqOptions& options) const = 0;
  // y[n, out] = x[n, in] w[out, in]^T, as kernels::LinearForward.
  virtual absl::StatusOr<Matrix> Product(ConstMatrixView x, ConstMatrixView w) const = 0;
  // [n, out] of X[n, in], as LINEAR's Forward.
  virtual absl::StatusOr<Matrix> Forward(const DenseLinear& linear, ConstMatrixView x) const = 0;
};

const QuantizeOps& CpuOps();

}  // namespace eaq

#endif  // EAQ_QUANT_QUANTIZE_OPS_H_

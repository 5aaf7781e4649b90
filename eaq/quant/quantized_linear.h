// Quantized linears behind the model's Linear interface.
//
//   FakeQuantLinear  keeps the dequantised weight in float32: what experiments run
//   PackedLinear     keeps codes and unpacks them at every call: what a stored model needs
//
// Both compute y = act(x T) W_hat^T (+ bias), T the online transform where there is one, with the same GEMM call on the
// same numbers: their results have equal bits. x itself is left alone (other linears read it too); act works on a copy.
#ifndef EAQ_QUANT_QUANTIZED_LINEAR_H_
#define EAQ_QUANT_QUANTIZED_LINEAR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/model/linear.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/row_cache.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

class FakeQuantLinear : public Linear {
 public:
  // weight[out, in], already dequantised (or full precision where only activations are quantized); bias empty or [out].
  FakeQuantLinear(Matrix weight, std::vector<float> bias, ActivationQuantizer activation,
                  std::shared_ptr<const OnlineTransform> online = nullptr);
  int64_t out_features() const override { return weight_.rows(); }
  int64_t in_features() const override { return weight_.cols(); }
  void Forward(ConstMatrixView x, MatrixView y) const override;

  const Matrix& weight() const { return weight_; }
  const std::vector<float>& bias() const { return bias_; }
  const OnlineTransform* online() const override { return online_.get(); }
  const ActivationQuantizer& activation() const { return activation_; }

 private:
  Matrix weight_;
  std::vector<float> bias_;
  ActivationQuantizer activation_;
  std::shared_ptr<const OnlineTransform> online_;
};

class PackedLinear : public Linear {
 public:
  // CACHE: rows of the weight that stand at CACHE->bits instead; read here, not kept. Errors as ValidatePacked and
  // ApplyPatch, or InvalidArgument when bias is neither empty nor [out].
  static absl::StatusOr<std::unique_ptr<PackedLinear>> Create(PackedMatrix weight, std::vector<float> bias,
                                                              ActivationQuantizer activation,
                                                              std::shared_ptr<const OnlineTransform> online = nullptr,
                                                              const RowCache* cache = nullptr);
  int64_t out_features() const override { return weight_.rows; }
  int64_t in_features() const override { return weight_.cols; }
  void Forward(ConstMatrixView x, MatrixView y) const override;

  const OnlineTransform* online() const override { return online_.get(); }
  const PackedMatrix& weight() const { return weight_; }
  const std::vector<float>& bias() const { return bias_; }
  const ActivationQuantizer& activation() const { return activation_; }
  const std::vector<int32_t>& patched() const { return patched_; }  // rows that a cache's stand over

 private:
  PackedLinear(PackedMatrix weight, std::vector<float> bias, ActivationQuantizer activation,
               std::shared_ptr<const OnlineTransform> online);
  PackedMatrix weight_;
  std::vector<int32_t> patched_;  // rows
  Matrix patch_;                  // what stands in them
  std::vector<float> bias_;
  ActivationQuantizer activation_;
  std::shared_ptr<const OnlineTransform> online_;
};

}  // namespace eaq

#endif  // EAQ_QUANT_QUANTIZED_LINEAR_H_

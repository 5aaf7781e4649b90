// Linear: the seam between the model and everything that changes its numbers. Full-precision, fake-quantized and
// packed linears are interchangeable behind it.
#ifndef EAQ_MODEL_LINEAR_H_
#define EAQ_MODEL_LINEAR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "eaq/model/online.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

class Linear {
 public:
  virtual ~Linear() = default;
  virtual int64_t out_features() const = 0;
  virtual int64_t in_features() const = 0;
  // y[n, out] = x[n, in] W^T (+ bias), float32 accumulation, on the calling thread. Thread-safe. The result of a row
  // depends on x alone, not on the time or thread it runs in. n may be 0. x and y do not overlap.
  virtual void Forward(ConstMatrixView x, MatrixView y) const = 0;
  // What Forward does to x before anything else; null: nothing.
  virtual const OnlineTransform* online() const { return nullptr; }
};

// Full precision: W[out, in] row-major, bias empty or [out].
class DenseLinear : public Linear {
 public:
  explicit DenseLinear(Matrix weight, std::vector<float> bias = {},
                       std::shared_ptr<const OnlineTransform> online = nullptr);
  int64_t out_features() const override { return weight_.rows(); }
  int64_t in_features() const override { return weight_.cols(); }
  void Forward(ConstMatrixView x, MatrixView y) const override;
  const OnlineTransform* online() const override { return online_.get(); }
  const Matrix& weight() const { return weight_; }
  const std::vector<float>& bias() const { return bias_; }

 private:
  Matrix weight_;
  std::vector<float> bias_;
  std::shared_ptr<const OnlineTransform> online_;
};

}  // namespace eaq

#endif  // EAQ_MODEL_LINEAR_H_

#include "eaq/quant/quantized_linear.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "kernels/cpu/gemm.h"

namespace eaq {
namespace {

// y = act(x T) W^T (+ bias) for contiguous w[out, in].
void ForwardQuantized(ConstMatrixView x, const float* w, const std::vector<float>& bias,
                      const ActivationQuantizer& activation, const OnlineTransform* online, MatrixView y) {
  if (x.rows == 0) return;
  ConstMatrixView input = x;
  if (!activation.identity() || online != nullptr) {
    thread_local Matrix scratch;  // keeps its storage from call to call
    scratch.Resize(x.rows, x.cols);
    for (int64_t r = 0; r < x.rows; ++r) std::memcpy(scratch.row(r), x.row(r), x.cols * sizeof(float));
    if (online != nullptr) online->ApplyToInput(scratch.view());
    activation.Apply(scratch.view());
    input = scratch.const_view();
  }
  kernels::LinearForward(input.data, input.stride, w, y.data, y.stride, x.rows, y.cols, x.cols);
  if (bias.empty()) return;
  for (int64_t r = 0; r < y.rows; ++r) {
    float* row = y.row(r);
    for (int64_t c = 0; c < y.cols; ++c) row[c] += bias[c];
  }
}

}  // namespace

FakeQuantLinear::FakeQuantLinear(Matrix weight, std::vector<float> bias, ActivationQuantizer activation,
                                 std::shared_ptr<const OnlineTransform> online)
    : weight_(std::move(weight)),
      bias_(std::move(bias)),
      activation_(std::move(activation)),
      online_(std::move(online)) {}

void FakeQuantLinear::Forward(ConstMatrixView x, MatrixView y) const {
  ForwardQuantized(x, weight_.data(), bias_, activation_, online_.get(), y);
}

absl::StatusOr<std::unique_ptr<PackedLinear>> PackedLinear::Create(PackedMatrix weight, std::vector<float> bias,
                                                                   ActivationQuantizer activation,
                                                                   std::shared_ptr<const OnlineTransform> online,
                                                                   const RowCache* cache) {
  EAQ_RETURN_IF_ERROR(ValidatePacked(weight));
  if (!bias.empty() && bias.size() != weight.rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("packed linear with ", weight.rows, " outputs: bias has ", bias.size(), " entries"));
  }
  if (online != nullptr) EAQ_RETURN_IF_ERROR(online->Validate(weight.cols));
  const int64_t rows = weight.rows, cols = weight.cols;
  std::unique_ptr<PackedLinear> linear(
      new PackedLinear(std::move(weight), std::move(bias), std::move(activation), std::move(online)));
  if (cache == nullptr || cache->bits == kAsRounded) return linear;
  if (cache->out != rows || cache->cols != cols) {
    return absl::InvalidArgumentError(absl::StrCat("packed linear [", rows, ", ", cols, "] with cached rows of [",
                                                   cache->out, ", ", cache->cols, "]"));
  }
  Matrix whole(rows, cols);
  EAQ_RETURN_IF_ERROR(ApplyPatch(*cache, cache->bits, whole.view()));
  linear->patched_ = cache->rows;
  linear->patch_ = Matrix(cache->rows.size(), cols);
  for (size_t i = 0; i < cache->rows.size(); ++i) {
    std::memcpy(linear->patch_.row(i), whole.row(cache->rows[i]), cols * sizeof(float));
  }
  return linear;
}

PackedLinear::PackedLinear(PackedMatrix weight, std::vector<float> bias, ActivationQuantizer activation,
                           std::shared_ptr<const OnlineTransform> online)
    : weight_(std::move(weight)),
      bias_(std::move(bias)),
      activation_(std::move(activation)),
      online_(std::move(online)) {}

void PackedLinear::Forward(ConstMatrixView x, MatrixView y) const {
  if (x.rows == 0) return;
  // The whole weight at once: a GEMM on panels could round differently from the one on the whole.
  thread_local Matrix unpacked;
  unpacked.Resize(weight_.rows, weight_.cols);
  UnpackWeights(weight_, unpacked.view());
  for (size_t i = 0; i < patched_.size(); ++i) {
    std::memcpy(unpacked.row(patched_[i]), patch_.row(i), weight_.cols * sizeof(float));
  }
  ForwardQuantized(x, unpacked.data(), bias_, activation_, online_.get(), y);
}

}  // namespace eaq

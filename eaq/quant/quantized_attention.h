// Queries, keys and values quantized per head and token between RoPE and attention, as the weight-activation methods
// do it (specs/eaquant.md 1.6): the softmax's probabilities stay as they are.
#ifndef EAQ_QUANT_QUANTIZED_ATTENTION_H_
#define EAQ_QUANT_QUANTIZED_ATTENTION_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "eaq/model/attention_operands.h"
#include "eaq/quant/activation_quant.h"

namespace eaq {

class QuantizedAttention : public AttentionOperands {
 public:
  // Every head of HEAD_DIM channels of every token gets its own grid. CLIP_RATIO shrinks the ranges of queries and
  // keys, VALUE_CLIP_RATIO those of values. InvalidArgument as ActivationQuantizer::Dynamic.
  static absl::StatusOr<QuantizedAttention> Create(const GridSpec& grid, int64_t head_dim, double clip_ratio,
                                                   double value_clip_ratio);
  void Apply(MatrixView q, MatrixView k, MatrixView v) const override;

  // A group a head; of queries and keys, and of values.
  const ActivationQuantizer& keys() const { return keys_; }
  const ActivationQuantizer& values() const { return values_; }

 private:
  QuantizedAttention() = default;
  int64_t head_dim_ = 0;
  ActivationQuantizer keys_, values_;
};

}  // namespace eaq

#endif  // EAQ_QUANT_QUANTIZED_ATTENTION_H_

// What happens to queries, keys and values between rotation and attention in a quantized model: the seam through which
// attention operands (the KV cache among them) are quantized.
#ifndef EAQ_MODEL_ATTENTION_OPERANDS_H_
#define EAQ_MODEL_ATTENTION_OPERANDS_H_

#include "eaq/tensor/matrix.h"

namespace eaq {

class AttentionOperands {
 public:
  virtual ~AttentionOperands() = default;
  // q[n, heads * head_dim], k and v[n, kv_heads * head_dim] after RoPE, in place. Thread-safe; a row's result depends
  // on that row alone, so that a cached sequence gives the same numbers.
  virtual void Apply(MatrixView q, MatrixView k, MatrixView v) const = 0;
};

}  // namespace eaq

#endif  // EAQ_MODEL_ATTENTION_OPERANDS_H_

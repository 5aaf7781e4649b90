// What a quantized layer does to the rows that its linears read, as a seam in the passes: rounding, online transforms.
//
//   class Quantize : public RowHook<float> { ... };
//   AttentionPass<float> pass(config, windows, context, &hook);
//
// The passes call Forward on the rows before the product and Backward on the gradient after it, rows and experts in the
// same order. Without a hook (null) they cost nothing. A hook belongs to one pass and need not be thread-safe.
#ifndef EAQ_TRAIN_ROW_HOOK_H_
#define EAQ_TRAIN_ROW_HOOK_H_

#include <cstdint>

namespace eaq {

// The places where rows are read. Linears that read the same rows share one.
enum class RowSite {
  kQkv,
  kO,
  kRouter,
  kExpertGateUp,  // of one expert: its tokens
  kExpertDown,
  kCommonGateUp,  // the shared expert, or a dense layer's feed-forward
  kCommonDown,
};

template <typename T>
class RowHook {
 public:
  virtual ~RowHook() = default;
  // rows[n, width], contiguous, in place. EXPERT -1 outside routed experts. n may be 0.
  virtual void Forward(RowSite site, int64_t expert, T* rows, int64_t n, int64_t width) = 0;
  // GRADIENT[n, width] of the rows that Forward left becomes that of the rows it was given. By default the identity:
  // rounding passes gradients straight through.
  virtual void Backward(RowSite site, int64_t expert, T* gradient, int64_t n, int64_t width) {}
  // Queries [n, heads * head_dim] and keys [n, kv_heads * head_dim], LD_QK apart, after RoPE, and values, LD_V apart,
  // in place. The gradient goes straight through.
  virtual void Operands(T* q, T* k, int64_t ld_qk, T* v, int64_t ld_v, int64_t n) {}
};

}  // namespace eaq

#endif  // EAQ_TRAIN_ROW_HOOK_H_

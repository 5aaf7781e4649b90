// The attention half of a decoder layer, forwards and backwards over whole windows:
//   out = x + W_o Attention(RoPE(norm(W_q h)), RoPE(norm(W_k h)), W_v h),  h = RMSNorm(x)
// Heads may share keys and values (grouped queries); the norms of q and k are over their full width or absent.
#ifndef EAQ_TRAIN_ATTENTION_PASS_H_
#define EAQ_TRAIN_ATTENTION_PASS_H_

#include <cstdint>
#include <vector>

#include "eaq/base/buffer.h"
#include "eaq/train/parameters.h"
#include "eaq/train/row_hook.h"

namespace eaq {

template <typename T>
class AttentionPass {
 public:
  // What the backward pass of one layer needs of the forward pass.
  struct State {
    Buffer<T> h, r, qkv, qk, rq, rk, p, y;
  };

  // For at most WINDOWS windows of CONTEXT tokens. HOOK (null: none) must outlive the pass.
  AttentionPass(const ModelConfig& config, int64_t windows, int64_t context, RowHook<T>* hook = nullptr);
  State NewState() const;

  // OUT[n, hidden] from X[n, hidden]; n a multiple of the context.
  void Forward(const T* params, const ParameterLayout::Layer& layer, int64_t n, const T* x, State& s, T* out) const;
  // DX[n, hidden]: the gradient of OUT when called, of X on return. GRADIENT [layout.size] is added to.
  void Backward(const T* params, const ParameterLayout::Layer& layer, int64_t n, const T* x, const State& s, T* dx,
                T* gradient);

 private:
  // Rotates q (or k): N rows of HEADS heads, STRIDE apart; SIGN -1 is the inverse.
  void Rope(T* q, int64_t stride, int64_t heads, int64_t n, T sign) const;
  void Scores(int64_t n, State& s) const;
  void ScoresBackward(int64_t n, const State& s);

  const ModelConfig config_;
  const int64_t windows_, t_, d_, head_, q_, kv_, c_;  // c: width of a row of q, k and v
  RowHook<T>* const hook_;
  Buffer<T> cos_, sin_, dy_, dqkv_, dp_, dh_;
};

extern template class AttentionPass<float>;
extern template class AttentionPass<double>;

}  // namespace eaq

#endif  // EAQ_TRAIN_ATTENTION_PASS_H_

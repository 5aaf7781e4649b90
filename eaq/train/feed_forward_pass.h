// The feed-forward half of a decoder layer, forwards and backwards:
//   out = x + sum_k w_k Expert_{e_k}(h) + Shared(h)    or    out = x + Dense(h),    h = RMSNorm(x)
// with the auxiliary losses of gradients.h. Tokens are gathered per expert; gate and up are one product.
#ifndef EAQ_TRAIN_FEED_FORWARD_PASS_H_
#define EAQ_TRAIN_FEED_FORWARD_PASS_H_

#include <cstdint>
#include <vector>

#include "eaq/base/buffer.h"
#include "eaq/train/parameters.h"
#include "eaq/train/row_hook.h"

namespace eaq {

template <typename T>
class FeedForwardPass {
 public:
  // A SwiGLU's rows on the way: gate and up beside each other [m, 2 width], their product [m, width].
  struct SwiGlu {
    Buffer<T> gu, a;
  };
  // What the backward pass of one layer needs of the forward pass.
  struct State {
    Buffer<T> h, r, hr;                        // hr: what the router reads, where a hook makes that differ from h
    Buffer<T> prob, lse, weight, xe, ye;       // [n, experts], [n], [n k], [n k, hidden] twice; empty in a dense layer
    std::vector<int32_t> choice, slot, begin;  // [n k], [n k], [experts + 1]
    SwiGlu routed, common;                     // common: the shared expert, or the dense layer's own
  };

  // For at most N tokens. HOOK (null: none) must outlive the pass.
  FeedForwardPass(const ModelConfig& config, int64_t n, RowHook<T>* hook = nullptr);
  State NewState(const ParameterLayout::Layer& layer) const;

  void Forward(const T* params, const ParameterLayout::Layer& layer, int64_t n, const T* x, State& s, T* out);
  // DX[n, hidden]: the gradient of OUT when called, of X on return. BALANCE and Z: what multiplies
  // sum_t sum_e f_e P_te and sum_t lse_t^2 in the objective. GRADIENT [layout.size] is added to.
  void Backward(const T* params, const ParameterLayout::Layer& layer, int64_t n, const T* x, const State& s, T balance,
                T z, T* dx, T* gradient);

 private:
  // EXPERT -1: what every token passes.
  void RunSwiGlu(int64_t expert, const T* gate_up, const T* down, int64_t m, int64_t width, T* x, T* gu, T* a, T* y,
                 T beta);
  // dx is written.
  void RunSwiGluBackward(int64_t expert, const T* gate_up, const T* down, int64_t m, int64_t width, const T* x,
                         const T* gu, const T* a, const T* dy, T* dx, T* d_gate_up, T* d_down);
  void Route(int64_t n, State& s);

  const ModelConfig config_;
  const int64_t n_, d_, e_, k_;
  RowHook<T>* const hook_;
  Buffer<T> dh_, dxe_, dye_, dgu_, da_, drouter_, dhr_;
};

extern template class FeedForwardPass<float>;
extern template class FeedForwardPass<double>;

}  // namespace eaq

#endif  // EAQ_TRAIN_FEED_FORWARD_PASS_H_

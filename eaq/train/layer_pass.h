// One decoder layer, forwards and backwards: attention, then feed-forward, for methods that learn a layer's
// quantization from the error of its output.
//
//   const ParameterLayout layout = SingleLayerLayout(config, 3);
//   LayerPass<float> pass(layout, /*windows=*/4, /*context=*/256, &hook);
//   pass.Forward(params, n, x, out);
//   pass.Backward(params, n, x, dx, gradient);     // dx: of out when called, of x on return; adds to `gradient`
//
// PARAMS and GRADIENT are [layout.size]; LinearOffsets says where each linear lies. The routing is that of the current
// input; gradients flow through the weights of the chosen experts, and none through the choice.
#ifndef EAQ_TRAIN_LAYER_PASS_H_
#define EAQ_TRAIN_LAYER_PASS_H_

#include <cstdint>
#include <vector>

#include "eaq/base/buffer.h"
#include "eaq/train/attention_pass.h"
#include "eaq/train/feed_forward_pass.h"
#include "eaq/train/parameters.h"
#include "eaq/train/row_hook.h"

namespace eaq {

template <typename T>
class LayerPass {
 public:
  // For at most WINDOWS windows of CONTEXT tokens. LAYOUT is of SingleLayerLayout; it and HOOK (null: none) must
  // outlive the pass. One pass per thread.
  LayerPass(const ParameterLayout& layout, int64_t windows, int64_t context, RowHook<T>* hook = nullptr)
      : layer_(layout.layers[0]),
        attention_(layout.config, windows, context, hook),
        feed_forward_(layout.config, windows * context, hook),
        attention_state_(attention_.NewState()),
        feed_forward_state_(feed_forward_.NewState(layer_)),
        middle_(windows * context * layout.config.hidden_size) {}

  // OUT[n, hidden] from X[n, hidden]; n a multiple of the context.
  void Forward(const T* params, int64_t n, const T* x, T* out) {
    attention_.Forward(params, layer_, n, x, attention_state_, middle_.data());
    feed_forward_.Forward(params, layer_, n, middle_.data(), feed_forward_state_, out);
  }
  // After Forward with the same arguments.
  void Backward(const T* params, int64_t n, const T* x, T* dx, T* gradient) {
    feed_forward_.Backward(params, layer_, n, middle_.data(), feed_forward_state_, 0, 0, dx, gradient);
    attention_.Backward(params, layer_, n, x, attention_state_, dx, gradient);
  }

 private:
  const ParameterLayout::Layer& layer_;
  AttentionPass<T> attention_;
  FeedForwardPass<T> feed_forward_;
  typename AttentionPass<T>::State attention_state_;
  typename FeedForwardPass<T>::State feed_forward_state_;
  Buffer<T> middle_;
};

}  // namespace eaq

#endif  // EAQ_TRAIN_LAYER_PASS_H_

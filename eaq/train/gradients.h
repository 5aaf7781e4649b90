// The language-model loss of a mixture-of-experts decoder and its gradient: forward and backward pass over token
// windows.
//
//   Gradients<float> work(layout, /*windows=*/8, /*context=*/256);
//   const LossParts loss = work.LossAndGradients(params.data(), windows, {}, gradient.data());  // adds to `gradient`
//
// Objective, for W windows of T predicted tokens and L mixture layers (N = W T tokens, E experts):
//
//   mean_t -log p(x_{t+1} | x_{<=t})  +  balance * mean_l E sum_e f_e P_e  +  z * mean_l mean_t lse_t^2
//
// f_e the share of the choices that fell on expert e (no gradient flows through it), P_e the mean router probability,
// lse the log-sum-exp of the router logits (load balance: Shazeer et al., Switch, eq. 4; z loss: ST-MoE, eq. 5).
//
// T is float for training (products by kernels/cpu/gemm.h) or double for gradient checks (naive products). One object
// per thread; results depend on the arguments alone. Data parallel training splits windows over a fixed number of
// such objects and adds their gradients in index order; f_e is then per shard.
#ifndef EAQ_TRAIN_GRADIENTS_H_
#define EAQ_TRAIN_GRADIENTS_H_

#include <cstdint>
#include <vector>

#include "eaq/base/buffer.h"
#include "eaq/train/attention_pass.h"
#include "eaq/train/feed_forward_pass.h"
#include "eaq/train/parameters.h"

namespace eaq {

struct LossOptions {
  double balance = 0.01;
  double z = 0.001;
  // Every term is multiplied by this: 1 / shards in data parallel training.
  double scale = 1.0;
};

struct LossParts {
  double nll = 0;      // mean nats per predicted token
  double balance = 0;  // before its coefficient; 1 when use is uniform
  double z = 0;        // before its coefficient
  double Total(const LossOptions& o) const { return o.scale * (nll + o.balance * balance + o.z * z); }
};

template <typename T>
class Gradients {
 public:
  // LAYOUT must outlive the object. Buffers are for at most WINDOWS windows of CONTEXT predicted tokens.
  Gradients(const ParameterLayout& layout, int64_t windows, int64_t context);

  // WINDOWS[w] points at context + 1 ids, each in [0, vocab). PARAMS [layout.size]. GRADIENT [layout.size] is added
  // to; nullptr: loss only. At least one window, at most as many as the constructor was told.
  LossParts LossAndGradients(const T* params, const std::vector<const uint16_t*>& windows, const LossOptions& options,
                             T* gradient);

  // Choices of every expert in the last call: [mixture layers * experts].
  const std::vector<int64_t>& expert_use() const { return use_; }

 private:
  struct LayerState {
    Buffer<T> x, middle;  // [n, hidden]: at the entrance, and between attention and feed-forward
    typename AttentionPass<T>::State attention;
    typename FeedForwardPass<T>::State feed_forward;
  };
  double Head(const T* params, const std::vector<const uint16_t*>& windows, T scale, T* gradient);

  const ParameterLayout& layout_;
  const int64_t t_, d_, v_, e_, k_;
  int64_t n_ = 0, mixtures_ = 0;
  AttentionPass<T> attention_;
  FeedForwardPass<T> feed_forward_;
  std::vector<LayerState> layers_;
  std::vector<int64_t> use_;
  Buffer<T> xf_, hf_, rf_, dx_, dh_, logits_;
};

extern template class Gradients<float>;
extern template class Gradients<double>;

}  // namespace eaq

#endif  // EAQ_TRAIN_GRADIENTS_H_

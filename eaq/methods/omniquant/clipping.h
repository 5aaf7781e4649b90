// OmniQuant's learnable clipping: every grid's range [min, max] becomes [sigmoid(l) min, sigmoid(u) max].
#ifndef EAQ_METHODS_OMNIQUANT_CLIPPING_H_
#define EAQ_METHODS_OMNIQUANT_CLIPPING_H_

#include <vector>

#include "eaq/base/thread_pool.h"
#include "eaq/methods/block_training/block_trainer.h"

namespace eaq {

class Clipping {
 public:
  // Logits of all grids of LINEARS (which must outlive the object), each INIT.
  Clipping(const std::vector<LearnedLinear>& linears, double init);

  // Rounded weights from WEIGHTS into FLAT, at the places of the linears; both of the layout's size.
  void Round(const std::vector<float>& weights, ThreadPool& pool, std::vector<float>& flat) const;
  // GRADIENT of the rounded weights becomes that of WEIGHTS when PASS_ON, and the logits take a step of AdamW (none at
  // rate 0).
  void Step(const std::vector<float>& weights, std::vector<float>& gradient, bool pass_on, double rate,
            ThreadPool& pool);

  // The factors of linear I.
  std::vector<float> Upper(size_t i) const { return Factors(begin_[i], begin_[i + 1]); }
  std::vector<float> Lower(size_t i) const { return Factors(half_ + begin_[i], half_ + begin_[i + 1]); }

 private:
  std::vector<float> Factors(int64_t begin, int64_t end) const;

  const std::vector<LearnedLinear>& linears_;
  std::vector<int64_t> begin_;  // of the grids of each linear
  int64_t half_ = 0;
  std::vector<float> logits_;  // upper ones, then lower ones
  std::vector<float> gradient_;
  AdamGroup adam_;
};

}  // namespace eaq

#endif  // EAQ_METHODS_OMNIQUANT_CLIPPING_H_

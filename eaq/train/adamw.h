// AdamW (Loshchilov & Hutter, 2019, algorithm 2) with clipping by the global norm, on the flat parameter array.
#ifndef EAQ_TRAIN_ADAMW_H_
#define EAQ_TRAIN_ADAMW_H_

#include <cstdint>
#include <vector>

#include "eaq/base/buffer.h"
#include "eaq/base/thread_pool.h"
#include "eaq/train/parameters.h"

namespace eaq {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;  // groups with `decay` only
  double clip = 1.0;          // of the gradient's L2 norm over all parameters
};

// Linear warm-up over WARMUP steps, then a cosine from PEAK to 5 % of it at step TOTAL. STEP counts from 1.
double LearningRate(double peak, int64_t step, int64_t warmup, int64_t total);

class AdamW {
 public:
  AdamW(const ParameterLayout& layout, const AdamWOptions& options);

  // One step, the first one with step 1, on the sum of GRADIENTS ([layout.size] each; the first becomes the sum). The
  // result depends neither on the threads nor on how the work falls to them. Returns the gradient's norm before
  // clipping. m, v: first and second moments.
  //   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  w -= rate (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) +
  //   decay w)
  double Step(std::vector<Buffer<float>>& gradients, double rate, ThreadPool& pool, Buffer<float>& params);

  int64_t step = 0;
  Buffer<float> m, v;  // [layout.size]; public: a checkpoint saves and restores the three

 private:
  struct Piece {  // what one thread takes at a time: a stretch inside one group
    int64_t begin, end;
    bool decay;
    double square = 0;  // of its gradient
  };
  const AdamWOptions options_;
  std::vector<Piece> pieces_;
};

}  // namespace eaq

#endif  // EAQ_TRAIN_ADAMW_H_

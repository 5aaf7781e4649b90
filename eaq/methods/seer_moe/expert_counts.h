// How much the experts of a layer are used: SEER-MoE's heavy hitters.
#ifndef EAQ_METHODS_SEER_MOE_EXPERT_COUNTS_H_
#define EAQ_METHODS_SEER_MOE_EXPERT_COUNTS_H_

#include <vector>

#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/model/layer.h"
#include "eaq/tensor/matrix.h"

namespace eaq::seer_moe {

// [experts]: hard, how many tokens choose each; SOFT, the sum over all tokens of its share of the router's scores
// (softmax, or sigmoids divided by their sum), in float64. HIDDEN: the inputs of LAYER, which routes, one a window,
// left as they are. The same for any number of threads.
std::vector<double> CountExperts(const ModelConfig& config, const DecoderLayer& layer, absl::Span<const Matrix> hidden,
                                 bool soft, ThreadPool& pool);

}  // namespace eaq::seer_moe

#endif  // EAQ_METHODS_SEER_MOE_EXPERT_COUNTS_H_

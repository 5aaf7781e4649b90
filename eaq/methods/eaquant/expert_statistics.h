// What EAQuant's smoothing wants to know beyond a Profile, from one pass of the windows through the untouched layer
// (specs/eaquant.md 1.3).
#ifndef EAQ_METHODS_EAQUANT_EXPERT_STATISTICS_H_
#define EAQ_METHODS_EAQUANT_EXPERT_STATISTICS_H_

#include <map>
#include <vector>

#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/layer.h"
#include "eaq/model/linear_id.h"
#include "eaq/tensor/matrix.h"

namespace eaq::eaquant {

// Smoothed extremes of the channels a linear reads: the first window that reached it, then 0.9 old + 0.1 new.
struct ChannelExtremes {
  std::vector<double> max, min;  // [in]; empty when no token came by
};

struct ExpertStatistics {
  std::map<LinearId, ChannelExtremes> down;  // of every down of the layer, dense and shared ones too
  std::vector<double> mean_probability;      // [experts] of the router's softmax over all tokens; empty without router
};

// HIDDEN: the inputs of the layer, one a window; the windows count in their order, whatever the threads.
ExpertStatistics CollectExpertStatistics(const DecoderLayer& layer, absl::Span<const Matrix> hidden, ThreadPool& pool);

}  // namespace eaq::eaquant

#endif  // EAQ_METHODS_EAQUANT_EXPERT_STATISTICS_H_

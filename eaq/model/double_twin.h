// A whole model in float64, naive, for proofs in tests: transforms that preserve the function preserve it here to
// 1e-10, where float32's rounding cannot hide a mistake.
//
//   TwinModel twin = TwinModel::Load(*source);
//   ... edit twin.layers[l].linears ...
//   const TwinResult result = RunTwin(twin, ids);
#ifndef EAQ_MODEL_DOUBLE_TWIN_H_
#define EAQ_MODEL_DOUBLE_TWIN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "eaq/model/config.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/params.h"

namespace eaq {

struct TwinLinear {
  int64_t out = 0, in = 0;
  std::vector<double> weight, bias;  // [out, in]; empty or [out]
  std::shared_ptr<const OnlineTransform> online;
};

struct TwinLayer {
  std::vector<double> input_norm, post_norm, q_norm, k_norm;
  int64_t qk_hadamard = 0;
  std::map<LinearId, TwinLinear> linears;
};

struct TwinModel {
  ModelConfig config;
  std::vector<double> embedding, head, final_norm;  // head: the embedding where it is tied
  std::vector<TwinLayer> layers;

  // Dies when the source cannot be read.
  static TwinModel Load(const ModelSource& source);
};

struct TwinResult {
  std::vector<double> logits;    // [ids, vocab]
  std::vector<int32_t> experts;  // chosen, layer by layer, token by token, falling by score
};
// Sliding windows are left out.
TwinResult RunTwin(const TwinModel& model, absl::Span<const int32_t> ids);

}  // namespace eaq

#endif  // EAQ_MODEL_DOUBLE_TWIN_H_

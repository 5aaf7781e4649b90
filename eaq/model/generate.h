// Text continues: greedy decoding or sampling, token by token on a KV cache.
#ifndef EAQ_MODEL_GENERATE_H_
#define EAQ_MODEL_GENERATE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/rng.h"
#include "eaq/model/model.h"

namespace eaq {

struct SamplingOptions {
  double temperature = 0.0;  // 0: greedy, the most probable token; the lowest id wins a tie
  int64_t top_k = 0;         // 0: off; else only the k most probable tokens
  double top_p = 1.0;        // only the smallest set of most probable tokens with total probability >= top_p
  int64_t max_new_tokens = 64;
  std::optional<int32_t> stop_token;  // ends the text; not part of the result
  uint64_t seed = 0;
};

// InvalidArgument names an option outside of its range.
absl::Status CheckSampling(const SamplingOptions& options);

// One token from p = softmax(logits / temperature), cut by top_k, then by top_p (the most probable token always stays).
int32_t SampleToken(absl::Span<const float> logits, const SamplingOptions& options, Rng& rng);

// What appends IDS to its one sequence and gives the logits[vocabulary] of the last.
using ExtendSequence = absl::FunctionRef<absl::Status(absl::Span<const int32_t> ids, absl::Span<float> logits)>;

// The tokens that follow PROMPT (at least one id, all below VOCABULARY) in the sequence that EXTEND keeps, which is
// empty and has room for both. ON_TOKEN is called with each as it is found; returning false ends it.
absl::StatusOr<std::vector<int32_t>> Generate(int64_t vocabulary, ExtendSequence extend,
                                              absl::Span<const int32_t> prompt, const SamplingOptions& options,
                                              absl::FunctionRef<bool(int32_t)> on_token);

// The same of a model on the CPU.
absl::StatusOr<std::vector<int32_t>> Generate(const Model& model, absl::Span<const int32_t> prompt,
                                              const SamplingOptions& options,
                                              absl::FunctionRef<bool(int32_t)> on_token);

}  // namespace eaq

#endif  // EAQ_MODEL_GENERATE_H_

// The two ends of the model: token ids -> hidden states, hidden states -> log-probabilities.
#ifndef EAQ_MODEL_HEAD_H_
#define EAQ_MODEL_HEAD_H_

#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "eaq/model/config.h"
#include "eaq/model/params.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

class ModelEnds {
 public:
  ModelEnds(const ModelConfig& config, OuterParams params);

  // hidden[tokens, hidden_size] = the embedding rows.
  void Embed(absl::Span<const int32_t> ids, MatrixView hidden) const;
  // logits[n, vocab] = head(RMSNorm(hidden)). Thread-safe; callers chunk rows to bound memory.
  void Logits(ConstMatrixView hidden, MatrixView logits) const;
  // The final norm alone, in place of the hidden states (for goldens).
  void FinalNorm(ConstMatrixView hidden, MatrixView normed) const;

  const OuterParams& params() const { return params_; }
  const ModelConfig& config() const { return config_; }

 private:
  ModelConfig config_;
  OuterParams params_;
};

}  // namespace eaq

#endif  // EAQ_MODEL_HEAD_H_

// A whole model in memory: what tools use. (The pipelines of recipe/ and eval/ hold one layer at a time instead.)
//
//   EAQ_ASSIGN_OR_RETURN(auto source, OpenModel(folder));
//   EAQ_ASSIGN_OR_RETURN(auto model, Model::Load(*source));
//   std::vector<double> logp = model->LogProbs(window);     // log p(window[t + 1] | window[0 .. t])
//
// Every method is const and thread-safe; one call runs on one thread, so callers spread windows over threads and get
// the same bits for any number of them.
#ifndef EAQ_MODEL_MODEL_H_
#define EAQ_MODEL_MODEL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/model/head.h"
#include "eaq/model/layer.h"

namespace eaq {

// The keys and values of one sequence.
struct KvCache {
  std::vector<LayerCache> layers;
  int64_t length() const { return layers.empty() ? 0 : layers[0].length; }
  int64_t capacity() const { return layers.empty() ? 0 : layers[0].keys.rows(); }
};

class Model {
 public:
  // Reads every layer of SOURCE. float32: 4 bytes per parameter.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const ModelSource& source);

  const ModelConfig& config() const { return ends_->config(); }
  const ModelEnds& ends() const { return *ends_; }
  const DecoderLayer& layer(int64_t i) const { return *layers_[i]; }

  // OK when every id is in [0, vocab_size); OutOfRange names the first that is not. The methods below require it.
  absl::Status CheckIds(absl::Span<const int32_t> ids) const;

  // hidden[ids.size(), hidden_size] = the residual stream after the last layer, before the final norm.
  void ForwardHidden(absl::Span<const int32_t> ids, MatrixView hidden, LayerObserver* observer = nullptr) const;
  // log p(ids[t + 1] | ids[0 .. t]) for t = 0 .. n - 2, natural logarithm, normalised in float64 over the whole
  // vocabulary.
  std::vector<double> LogProbs(absl::Span<const int32_t> ids) const;

  KvCache NewCache(int64_t capacity) const;
  // Appends IDS to the sequence in CACHE (length + ids.size() <= capacity) and returns the logits of the last one.
  void Extend(absl::Span<const int32_t> ids, KvCache& cache, absl::Span<float> logits) const;
  // Appends IDS[i] to the sequence in CACHES[i], each its own, and writes the logits[ids.size(), vocab] of all; no
  // logits where the view is empty. The last bits of a row depend on the rows beside it (DecoderLayer::ForwardEach).
  void ExtendEach(absl::Span<const int32_t> ids, absl::Span<KvCache* const> caches, MatrixView logits,
                  LayerObserver* observer = nullptr) const;

 private:
  Model() = default;
  std::unique_ptr<ModelEnds> ends_;
  std::vector<std::unique_ptr<DecoderLayer>> layers_;
};

}  // namespace eaq

#endif  // EAQ_MODEL_MODEL_H_

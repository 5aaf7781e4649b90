// One decoder layer that runs. x <- x + Attention(RMSNorm(x)); x <- x + MoE(RMSNorm(x)).
//
// A window (one sequence) is the unit of work: it runs on one thread, alone, so its numbers depend neither on the
// batch it came with nor on the number of threads. Parallelism is over windows. (ForwardEach alone mixes sequences.)
#ifndef EAQ_MODEL_LAYER_H_
#define EAQ_MODEL_LAYER_H_

#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/model/attention_operands.h"
#include "eaq/model/config.h"
#include "eaq/model/linear.h"
#include "eaq/model/linear_id.h"
#include "eaq/model/linear_shapes.h"
#include "eaq/model/observer.h"
#include "eaq/model/params.h"

namespace eaq {

// Keys and values of one layer for the tokens seen so far.
struct LayerCache {
  Matrix keys;    // [capacity, kv_heads * head_dim], after RoPE
  Matrix values;  // [capacity, kv_heads * head_dim]
  int64_t length = 0;
};

class DecoderLayer {
 public:
  using Linears = std::map<LinearId, std::shared_ptr<const Linear>>;

  // NORMS gives the four norm vectors, qk_hadamard and routing (its linears are ignored); LINEARS must hold every
  // linear of the layer. OPERANDS quantizes queries, keys and values; null: they stay as they are. InvalidArgument
  // names the first linear missing or of the wrong shape.
  static absl::StatusOr<std::unique_ptr<DecoderLayer>> Create(
      const ModelConfig& config, const LayerParams& norms, Linears linears,
      std::shared_ptr<const AttentionOperands> operands = nullptr);
  ~DecoderLayer();

  // hidden[tokens, hidden_size], updated in place. Positions 0 .. tokens-1. Thread-safe. An observer must not run a
  // DecoderLayer itself: the scratch memory belongs to the thread.
  void Forward(MatrixView hidden, LayerObserver* observer = nullptr) const;
  // Continues a sequence: the rows are tokens cache.length ..., which are appended to the cache (capacity must
  // suffice). Same numbers as Forward up to float32 summation order.
  void ForwardCached(MatrixView hidden, LayerCache& cache, LayerObserver* observer = nullptr) const;
  // One more token of each of several sequences, which may differ in length: row i continues that in CACHES[i] and is
  // appended to it. Linears take all rows at once, experts those of all sequences that come to them; the same numbers
  // as ForwardCached up to float32 summation order, which depends on the rows beside. No cache may stand twice.
  void ForwardEach(MatrixView hidden, absl::Span<LayerCache* const> caches, LayerObserver* observer = nullptr) const;

  const Linears& linears() const { return linears_; }
  const ModelConfig& config() const;
  // What Create was given beside linears: for those who run the layer elsewhere (eaq/device). norms().linears is empty.
  const LayerParams& norms() const;
  const AttentionOperands* operands() const;  // or null

 private:
  DecoderLayer() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
  Linears linears_;
};

// A full-precision layer: every linear a DenseLinear. Move PARAMS in to avoid a copy of the weights.
absl::StatusOr<std::unique_ptr<DecoderLayer>> BuildLayer(const ModelConfig& config, LayerParams params);

}  // namespace eaq

#endif  // EAQ_MODEL_LAYER_H_

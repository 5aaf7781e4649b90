// What a model did on some windows: its last hidden states and where the router sent every token. Two traces over the
// same windows are all that an evaluation compares.
//
//   Tracer tracer(ends, windows);                                  // windows: spans of token ids
//   for (each layer) tracer.Advance(*layer, pool);                 // one layer resident at a time
//   const ModelTrace trace = tracer.Finish();
//
// A window runs on one thread, alone: the bits do not depend on the number of threads.
#ifndef EAQ_EVAL_TRACE_H_
#define EAQ_EVAL_TRACE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/head.h"
#include "eaq/model/layer.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct ModelTrace {
  std::vector<Matrix> hidden;  // of each window, [tokens, hidden_size], before the final norm
  // Layers with a router -> of each window, [tokens, k]: the experts chosen, falling by score.
  std::map<int, std::vector<std::vector<uint16_t>>> experts;
  std::map<int, std::vector<Matrix>> router_logits;  // of the same layers, [tokens, experts] of each window
  // Of the same layers: choices that a routing policy dropped, over all windows. Not serialized: caches hold
  // full-precision traces, which drop none.
  std::map<int, int64_t> dropped;

  // For caches. Parse: InvalidArgument when BYTES are not a whole trace.
  std::string Serialize() const;
  static absl::StatusOr<ModelTrace> Parse(absl::string_view bytes);
};

class Tracer {
 public:
  // IDS of every window must lie inside of the vocabulary.
  Tracer(const ModelEnds& ends, absl::Span<const absl::Span<const int32_t>> windows, ThreadPool& pool);
  // Runs the next layer, which has the number LAYER, over all windows.
  void Advance(int layer, const DecoderLayer& decoder, ThreadPool& pool);
  // The same where every window has a layer of its own, DECODERS[w]: of a model that serves them in different states.
  void Advance(int layer, absl::Span<const DecoderLayer* const> decoders, ThreadPool& pool);
  // The same by FORWARD, which takes all windows at once, one after the other in HIDDEN, LENGTHS tokens each, and tells
  // each one's observer of its routing: a layer that runs on a device. Its error leaves the trace unusable.
  using Forward = absl::FunctionRef<absl::Status(MatrixView hidden, absl::Span<const int64_t> lengths,
                                                 absl::Span<LayerObserver* const> observers)>;
  absl::Status Advance(int layer, Forward forward);
  ModelTrace Finish() { return std::move(trace_); }

 private:
  void Keep(int layer, std::vector<std::vector<uint16_t>> chosen, std::vector<Matrix> logits,
            const std::vector<int64_t>& dropped);

  ModelTrace trace_;
};

// The trace whose window w is TRACES[which[w]]'s: all are over the same windows.
ModelTrace PickWindows(std::vector<ModelTrace> traces, absl::Span<const int> which);

// How far the router of a quantized model agrees with the full one on the same tokens.
struct RouterAgreement {
  double topk_agreement = 0;  // mean over tokens of |chosen by both| / k
  double top1_change = 0;     // share of the tokens whose first expert is another one
};

// FULL, QUANTIZED: [tokens, k] as in ModelTrace, of equal size, not empty.
RouterAgreement CompareRouting(absl::Span<const uint16_t> full, absl::Span<const uint16_t> quantized, int64_t k);

// Share of the assignments that each of EXPERTS experts gets over WINDOWS of one layer of a trace; sums to 1.
std::vector<double> ExpertUse(absl::Span<const std::vector<uint16_t>> windows, int64_t experts);

// The share of all choices that were dropped, over all layers with a router; 0 without any.
double DroppedShare(const ModelTrace& trace);

}  // namespace eaq

#endif  // EAQ_EVAL_TRACE_H_

// One layer on a device over one batch of sequences: which launches, on which memory, in which order. Internal to
// device_runner.h.
#ifndef EAQ_DEVICE_LAYER_PASS_H_
#define EAQ_DEVICE_LAYER_PASS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/device/layer_image.h"
#include "eaq/model/config.h"
#include "eaq/model/observer.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/transform_rows.h"
#include "kernels/device/arena.h"

namespace eaq {

// Keys and values of one layer for the tokens of one sequence so far, on the device; float32, after rotation and
// rounding (LayerCache of eaq/model/layer.h).
struct DeviceCache {
  float *keys = nullptr, *values = nullptr;  // [room, kv width]
  int64_t length = 0;
};

class LayerPass {
 public:
  // Of an arena that holds what a batch of ROWS tokens needs, with at most as many keys.
  static int64_t WorkspaceBytes(const ModelConfig& config, int64_t rows, bool checked);

  // LAYER's bytes lie at BASE on the device; all of these outlive the pass.
  LayerPass(kernels::Backend& backend, const ModelConfig& config, const LayerPlan& layer, const uint8_t* base,
            kernels::Arena& workspace, bool observe_inputs)
      : backend_(backend),
        config_(config),
        layer_(layer),
        base_(base),
        workspace_(workspace),
        observe_inputs_(observe_inputs) {}

  // BRANCHES: as DeviceRunner::Forward.
  absl::Status Run(MatrixView hidden, absl::Span<const int64_t> lengths, absl::Span<LayerObserver* const> observers,
                   absl::Span<const uint8_t> branches);
  // The rows are the next tokens of the sequence in CACHE, which has room for them, and are appended to it.
  absl::Status Continue(MatrixView hidden, DeviceCache& cache);

 private:
  // Device memory of a batch; R rows, K keys of all sequences (R, and more with branches), S slots (rows, or rows * k).
  struct Buffers {
    float *hidden, *normed, *q, *k, *v, *context, *output;  // [R, .]
    float *all_k, *all_v;                                   // [K, kv width]: a front's again before each branch
    int32_t* key_rows;                                      // [K]: rows of k and v
    uint8_t *k_codes, *v_codes;                             // [K, kv width]
    float *k_grids, *v_grids;                               // [K, kv heads, 2]
    float *cosines, *sines;                                 // [R, head_dim / 2]
    int32_t *query_begin, *key_begin, *key_count;           // of sequences
    int32_t *identity, *zero_slots, *one_expert;  // [S] 0, 1, ...; [R] 0; {0, R} and tile offsets for each tile
    float *logits, *kept_logits;                  // [R, experts]
    float *weights, *shared_weights;              // [S], [R]
    int32_t *chosen, *shared_chosen;              // [S], [R]
    int32_t *sent, *keep_all, *protect_counts;    // [S], [R], of sequences: where experts are dropped
    float* softmax;                               // [R, heads, 2]
    double* importance;                           // [R]
    int32_t *pair_of_slot, *slot_of_pair, *offsets, *tile_offsets, *sort_workspace;
    float *gate, *up, *expert_output;  // [S, .]
    float* partial;                    // one launch's results among several that add up
    float *changed, *changed_again;    // [S, .] rows after run-time transforms, by turns
    uint8_t* input;                    // rows prepared for a product: codes or terms of bfloat16
    float* scales;
    int32_t *zeros, *sums;
  };
  // What a launch goes over: slots by expert.
  struct Slots {
    int64_t experts = 1, count = 0;
    const int32_t* offsets = nullptr;
    const int32_t* pair_of_slot = nullptr;
    const int32_t* slot_of_pair = nullptr;
    const int32_t* expert_of_pair = nullptr;  // what SortTokens goes by
    const float* pair_weights = nullptr;      // or null
    int64_t k = 1;
    bool sorted = false;  // by SortTokens, of layer_.route's choice
  };
  template <typename Take>
  static void Lay(const ModelConfig& config, int64_t rows, int64_t keys, Buffers& b, Take take);

  absl::Status Start(MatrixView hidden, absl::Span<const int64_t> lengths, absl::Span<const uint8_t> branches);
  absl::Status Attend();
  absl::Status FeedForward();
  absl::Status SwiGlu(const SwiGluImage& mlp, const Slots& slots);
  // Rows x as INPUT wants them: Buffers::input, or (float32) *FLOATS. Of every token, or BY_SLOT of every slot; an
  // expert's own transform makes rows of slots from either.
  absl::Status Prepare(const RowsImage& input, int64_t cols, const float* x, const Slots& slots, bool by_slot,
                       const float** floats);
  // x through STEP: y[rows, cols]. SETS: of whom, where experts have their own.
  absl::Status Transform(const StepImage& step, kernels::cuda::RowSource source, const kernels::cuda::RowSets& sets,
                         float* y);
  // Attention with keys and values as codes, where both are rounded to grids of at most 8 bits.
  absl::Status AttendCodes(const kernels::cuda::AttentionBatch& batch, const float* k, const float* v);
  // b_.keep_all: the tokens that keep all of their experts, by their attention and b_.hidden after it. KEYS: rounded.
  absl::Status Protect(const kernels::cuda::AttentionBatch& batch, const float* keys);
  // In place, to grids of ROUNDING.
  absl::Status Round(const InputFormat& rounding, float* x, int64_t rows, int64_t cols);
  // y[slots, outputs] of prepared rows, all launches; GATHER: slot s reads the row of its token, else row s.
  absl::Status Launch(const Product& product, const Slots& slots, bool gather, bool weigh, float* y);
  absl::Status LaunchOne(const Product& product, int64_t weights, const uint8_t* input, const Slots& slots, bool gather,
                         bool weigh, float* y);
  // Both, of one linear over all rows; PREPARED: rows are there already.
  absl::Status Linear(const Product& product, const float* x, float* y, bool prepared = false);
  Slots AllRows() const;
  // Tile offsets of SLOTS for tiles of TILE.
  absl::Status TileOffsets(const Slots& slots, int64_t tile, const int32_t** offsets);

  absl::Status ObserveInput(const LinearId& id, const float* x, int64_t cols);
  absl::Status ObserveExperts(const std::vector<LinearId>& ids, const float* x, int64_t cols, bool by_token,
                              const Slots& slots);
  absl::Status ObserveRouter();

  template <typename T>
  const T* At(int64_t offset) const {
    return offset < 0 ? nullptr : reinterpret_cast<const T*>(base_ + offset);
  }
  bool observes() const { return observe_inputs_ && !observers_.empty(); }

  kernels::Backend& backend_;
  const ModelConfig& config_;
  const LayerPlan& layer_;
  const uint8_t* const base_;
  kernels::Arena& workspace_;
  const bool observe_inputs_;

  int64_t rows_ = 0, sequences_ = 0;
  DeviceCache* cache_ = nullptr;         // of the one sequence, or null
  int64_t keys_ = 0;                     // rows_, or more where sequences are branches
  int64_t longest_ = 0, most_keys_ = 0;  // of a sequence
  absl::Span<const int64_t> lengths_;
  absl::Span<LayerObserver* const> observers_;
  Buffers b_ = {};
  int64_t sorted_tile_ = 0;  // what tile_offsets are for; 0: not sorted yet
};

}  // namespace eaq

#endif  // EAQ_DEVICE_LAYER_PASS_H_

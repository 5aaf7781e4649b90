#include "eaq/device/layer_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <tuple>
#include <vector>

#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/device/copy_rows.h"
#include "eaq/model/rope.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_kv.h"
#include "kernels/cuda/grouped_bf16.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/sort_tokens.h"
#include "kernels/cuda/token_importance.h"

namespace eaq {
namespace {

using kernels::cuda::PaddedColumns;

constexpr int64_t kTiles[] = {8, 16, 32, 128};  // of launches over one expert, in the order of Buffers::one_expert

int64_t CeilDiv(int64_t n, int64_t step) { return (n + step - 1) / step; }

}  // namespace

template <typename Take>
void LayerPass::Lay(const ModelConfig& config, int64_t rows, int64_t keys, Buffers& b, Take take) {
  const int64_t hidden = config.hidden_size, width = config.num_heads * config.head_dim,
                kv_width = config.num_kv_heads * config.head_dim;
  const int64_t pairs = rows * std::max<int64_t>(1, config.experts_per_token), slots = std::max(rows, pairs);
  const int64_t between =
      std::max({pairs * config.expert_width, rows * config.dense_width, rows * config.shared_width});
  const int64_t widest = std::max({hidden, width, config.expert_width, config.dense_width, config.shared_width});
  const int64_t experts = std::max<int64_t>(1, config.num_experts);
  // Rows of a product, in numbers: of tokens or slots, hidden states or what lies between.
  const int64_t of_rows =
      std::max({rows * PaddedColumns(width), slots * PaddedColumns(std::max(hidden, config.expert_width)),
                rows * PaddedColumns(config.dense_width), rows * PaddedColumns(config.shared_width)});
  take(b.hidden, "hidden", rows * hidden);
  take(b.normed, "normed", rows * hidden);
  take(b.q, "queries", rows * width);
  take(b.k, "keys", rows * kv_width);
  take(b.v, "values", rows * kv_width);
  take(b.all_k, "keys of branches", keys * kv_width);
  take(b.all_v, "values of branches", keys * kv_width);
  take(b.key_rows, "rows of keys", keys);
  take(b.k_codes, "codes of keys", keys * kv_width);
  take(b.v_codes, "codes of values", keys * kv_width);
  take(b.k_grids, "grids of keys", keys * config.num_kv_heads * 2);
  take(b.v_grids, "grids of values", keys * config.num_kv_heads * 2);
  take(b.context, "context", rows * width);
  take(b.output, "output", rows * hidden);
  take(b.cosines, "cosines", rows * config.head_dim / 2);
  take(b.sines, "sines", rows * config.head_dim / 2);
  take(b.query_begin, "query_begin", rows + 1);
  take(b.key_begin, "key_begin", rows);
  take(b.key_count, "key_count", rows);
  take(b.identity, "identity", slots);
  take(b.zero_slots, "zero_slots", rows);
  take(b.one_expert, "one_expert", 2 + 2 * std::size(kTiles));
  take(b.logits, "router logits", rows * experts);
  take(b.kept_logits, "logits of kept experts", rows * experts);
  take(b.weights, "expert weights", slots);
  take(b.shared_weights, "shared expert's weights", rows);
  take(b.chosen, "chosen experts", slots);
  take(b.shared_chosen, "shared expert's choice", rows);
  take(b.sent, "experts not dropped", slots);
  take(b.keep_all, "protected tokens", rows);
  take(b.protect_counts, "numbers of protected tokens", rows);
  take(b.softmax, "largest and sum of attention rows", rows * config.num_heads * 2);
  take(b.importance, "importance of tokens", rows);
  take(b.pair_of_slot, "pair_of_slot", slots);
  take(b.slot_of_pair, "slot_of_pair", slots);
  take(b.offsets, "offsets", experts + 1);
  take(b.tile_offsets, "tile_offsets", experts + 1);
  take(b.sort_workspace, "sort workspace", kernels::cuda::SortTokensWorkspace(slots, experts));
  take(b.gate, "gate", between);
  take(b.up, "up", between);
  take(b.expert_output, "expert output", slots * hidden);
  take(b.partial, "partial sums", std::max({slots * hidden, between, rows * width, rows * experts}));
  take(b.changed, "changed rows", of_rows);
  take(b.changed_again, "changed rows again", of_rows);
  take(b.input, "prepared rows", of_rows * kMostRowTerms * int64_t{sizeof(uint16_t)});
  take(b.scales, "scales of rows", slots);
  take(b.zeros, "zeros of rows", slots);
  take(b.sums, "sums of rows", slots * (PaddedColumns(widest) / kSmallestGroup + 1));
}

int64_t LayerPass::WorkspaceBytes(const ModelConfig& config, int64_t rows, bool checked) {
  Buffers unused;
  return kernels::Arena::FootprintOf([&](auto take) { Lay(config, rows, rows, unused, take); }, checked);
}

absl::Status LayerPass::Run(MatrixView hidden, absl::Span<const int64_t> lengths,
                            absl::Span<LayerObserver* const> observers, absl::Span<const uint8_t> branches) {
  rows_ = hidden.rows;
  sequences_ = lengths.size();
  lengths_ = lengths;
  observers_ = observers;
  EAQ_RETURN_IF_ERROR(Start(hidden, lengths, branches));
  EAQ_RETURN_IF_ERROR(Attend());
  EAQ_RETURN_IF_ERROR(FeedForward());
  return CopyRowsOut(*backend_.device(), hidden, b_.hidden);
}

absl::Status LayerPass::Continue(MatrixView hidden, DeviceCache& cache) {
  const int64_t rows = hidden.rows;
  cache_ = &cache;
  EAQ_RETURN_IF_ERROR(Run(hidden, {&rows, 1}, {}, {}));
  cache.length += rows;
  return absl::OkStatus();
}

absl::Status LayerPass::Start(MatrixView hidden, absl::Span<const int64_t> lengths,
                              absl::Span<const uint8_t> branches) {
  const int64_t half = config_.head_dim / 2;
  std::vector<int32_t> query_begin = {0}, key_begin, key_count, key_rows, protect_counts, zero_slots(rows_, 0),
                       one_expert = {0, 0}, identity(rows_ * std::max<int64_t>(1, config_.experts_per_token));
  std::vector<int64_t> fronts;  // tokens before each sequence's own
  int64_t front_row = 0, front_length = 0;
  for (int64_t s = 0; s < sequences_; ++s) {
    const bool branch = !branches.empty() && branches[s] != 0;
    const int64_t first = query_begin.back();
    if (!branch) front_row = first, front_length = lengths[s];
    fronts.push_back(cache_ != nullptr ? cache_->length : branch ? front_length : 0);
    longest_ = std::max(longest_, lengths[s]);
    most_keys_ = std::max(most_keys_, fronts[s] + lengths[s]);
    key_begin.push_back(static_cast<int32_t>(keys_));
    key_count.push_back(static_cast<int32_t>(fronts[s] + lengths[s]));
    keys_ += cache_ != nullptr ? rows_ : key_count.back();
    for (int64_t i = 0; branch && i < fronts[s]; ++i) key_rows.push_back(static_cast<int32_t>(front_row + i));
    for (int64_t i = 0; i < lengths[s]; ++i) key_rows.push_back(static_cast<int32_t>(first + i));
    query_begin.push_back(static_cast<int32_t>(first + lengths[s]));
    // As the CPU: the beginning of a sequence alone protects tokens, of two at least.
    const double share =
        layer_.drop && fronts[s] == 0 && lengths[s] > 1 ? static_cast<double>(layer_.drop->protect) : 0;
    const auto count = static_cast<int32_t>(std::floor(share * static_cast<double>(lengths[s])));
    protect_counts.push_back(share > 0 ? std::max(1, count) : 0);
  }
  EAQ_RETURN_IF_ERROR(AsStatus(workspace_.TakeAll([&](auto take) { Lay(config_, rows_, keys_, b_, take); })));

  const auto rope = GetRopeTable(config_, most_keys_);
  std::vector<float> cosines(rows_ * half), sines(rows_ * half);
  for (int64_t s = 0; s < sequences_; ++s) {
    if (lengths[s] == 0) continue;
    const int64_t first = query_begin[s] * half, bytes = lengths[s] * half * int64_t{sizeof(float)};
    std::memcpy(cosines.data() + first, rope->cosines.row(fronts[s]), bytes);
    std::memcpy(sines.data() + first, rope->sines.row(fronts[s]), bytes);
  }
  std::iota(identity.begin(), identity.end(), 0);
  one_expert[1] = static_cast<int32_t>(rows_);
  for (const int64_t tile : kTiles) {
    one_expert.push_back(0);
    one_expert.push_back(static_cast<int32_t>(CeilDiv(rows_, tile)));
  }
  kernels::Device& device = *backend_.device();
  const auto put = [&](auto* to, const auto& from) {
    return AsStatus(device.CopyIn(to, from.data(), static_cast<int64_t>(from.size() * sizeof(*to))));
  };
  EAQ_RETURN_IF_ERROR(put(b_.query_begin, query_begin));
  EAQ_RETURN_IF_ERROR(put(b_.key_begin, key_begin));
  EAQ_RETURN_IF_ERROR(put(b_.key_count, key_count));
  if (keys_ > rows_) EAQ_RETURN_IF_ERROR(put(b_.key_rows, key_rows));
  if (layer_.drop) EAQ_RETURN_IF_ERROR(put(b_.protect_counts, protect_counts));
  EAQ_RETURN_IF_ERROR(put(b_.identity, identity));
  EAQ_RETURN_IF_ERROR(put(b_.zero_slots, zero_slots));
  EAQ_RETURN_IF_ERROR(put(b_.one_expert, one_expert));
  EAQ_RETURN_IF_ERROR(put(b_.cosines, cosines));
  EAQ_RETURN_IF_ERROR(put(b_.sines, sines));
  return CopyRowsIn(device, b_.hidden, hidden);
}

absl::Status LayerPass::Attend() {
  const int64_t hidden = config_.hidden_size, width = config_.num_heads * config_.head_dim,
                kv_width = config_.num_kv_heads * config_.head_dim;
  const double eps = config_.rms_norm_eps;
  EAQ_RETURN_IF_ERROR(AsStatus(
      backend_.RmsNorm(b_.hidden, hidden, At<float>(layer_.input_norm), eps, b_.normed, hidden, rows_, hidden)));
  if (observes()) {
    for (const Role role : {Role::kQ, Role::kK, Role::kV})
      EAQ_RETURN_IF_ERROR(ObserveInput({layer_.layer, role}, b_.normed, hidden));
  }
  const Product* before = nullptr;
  for (const auto& [product, to] : {std::pair(&layer_.q, b_.q), {&layer_.k, b_.k}, {&layer_.v, b_.v}}) {
    const bool prepared = before != nullptr && !product->input.floats() && SameRows(before->input, product->input);
    EAQ_RETURN_IF_ERROR(Linear(*product, b_.normed, to, prepared));
    before = product;
  }
  const auto normalize = [&](float* x, int64_t norm, int64_t heads) {
    if (config_.qk_norm == QkNorm::kFullWidth) {
      const int64_t n = heads * config_.head_dim;
      return AsStatus(backend_.RmsNorm(x, n, At<float>(norm), eps, x, n, rows_, n));
    }
    if (config_.qk_norm == QkNorm::kPerHead) {
      const int64_t n = config_.head_dim;
      return AsStatus(backend_.RmsNorm(x, n, At<float>(norm), eps, x, n, rows_ * heads, n));
    }
    return absl::OkStatus();
  };
  EAQ_RETURN_IF_ERROR(normalize(b_.q, layer_.q_norm, config_.num_heads));
  EAQ_RETURN_IF_ERROR(normalize(b_.k, layer_.k_norm, config_.num_kv_heads));
  EAQ_RETURN_IF_ERROR(AsStatus(
      backend_.RotaryHalfSplit(b_.q, width, b_.cosines, b_.sines, rows_, config_.num_heads, config_.head_dim)));
  EAQ_RETURN_IF_ERROR(AsStatus(
      backend_.RotaryHalfSplit(b_.k, kv_width, b_.cosines, b_.sines, rows_, config_.num_kv_heads, config_.head_dim)));
  if (layer_.turn_keys) {
    for (const auto& [x, cols] : {std::pair(b_.q, width), {b_.k, kv_width}}) {
      kernels::cuda::RowSource source;
      source.x = x;
      source.ldx = source.cols = cols;
      source.rows = rows_;
      EAQ_RETURN_IF_ERROR(Transform(*layer_.turn_keys, source, {}, x));
    }
  }
  const auto round = [&](const std::optional<InputFormat>& to, float* x, int64_t heads) {
    return to ? Round(*to, x, rows_ * heads, config_.head_dim) : absl::OkStatus();
  };
  EAQ_RETURN_IF_ERROR(round(layer_.keys, b_.q, config_.num_heads));
  const bool codes = layer_.keys && layer_.values && cache_ == nullptr;  // a cache holds the same numbers, not codes
  if (!codes) {
    EAQ_RETURN_IF_ERROR(round(layer_.keys, b_.k, config_.num_kv_heads));
    EAQ_RETURN_IF_ERROR(round(layer_.values, b_.v, config_.num_kv_heads));
  }
  float *k = b_.k, *v = b_.v;
  if (keys_ > rows_) {  // a front's keys and values again before those of each of its branches
    for (const auto& [from, to] : {std::pair(b_.k, b_.all_k), {b_.v, b_.all_v}}) {
      kernels::cuda::RowSource source;
      source.x = from;
      source.ldx = source.cols = kv_width;
      source.rows = keys_;
      source.gather = b_.key_rows;
      EAQ_RETURN_IF_ERROR(AsStatus(backend_.TransformRows(source, {}, {}, to)));
    }
    k = b_.all_k, v = b_.all_v;
  }
  if (cache_ != nullptr) {
    for (const auto& [from, to] : {std::pair(b_.k, cache_->keys), {b_.v, cache_->values}}) {
      kernels::cuda::RowSource source;
      source.x = from;
      source.ldx = source.cols = kv_width;
      source.rows = rows_;
      EAQ_RETURN_IF_ERROR(AsStatus(backend_.TransformRows(source, {}, {}, to + cache_->length * kv_width)));
    }
    k = cache_->keys, v = cache_->values;
  }

  kernels::cuda::AttentionBatch batch;
  batch.sequences = sequences_;
  batch.query_begin = b_.query_begin;
  batch.key_begin = b_.key_begin;
  batch.key_count = b_.key_count;
  batch.max_queries = longest_;
  batch.max_keys = most_keys_;
  batch.heads = config_.num_heads;
  batch.kv_heads = config_.num_kv_heads;
  batch.head_dim = config_.head_dim;
  batch.window = config_.sliding_window;
  batch.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config_.head_dim)));
  if (codes) {
    EAQ_RETURN_IF_ERROR(AttendCodes(batch, k, v));
  } else {
    EAQ_RETURN_IF_ERROR(AsStatus(backend_.Attention(batch, b_.q, width, k, kv_width, v, kv_width, b_.context, width)));
  }
  if (observes()) EAQ_RETURN_IF_ERROR(ObserveInput({layer_.layer, Role::kO}, b_.context, width));
  EAQ_RETURN_IF_ERROR(Linear(layer_.o, b_.context, b_.output));
  EAQ_RETURN_IF_ERROR(AsStatus(backend_.AddRmsNorm(b_.hidden, hidden, b_.output, hidden, At<float>(layer_.post_norm),
                                                   eps, b_.normed, hidden, rows_, hidden)));
  if (!layer_.drop || !(layer_.drop->protect > 0)) return absl::OkStatus();
  if (codes) EAQ_RETURN_IF_ERROR(Round(*layer_.keys, k, keys_ * config_.num_kv_heads, config_.head_dim));
  return Protect(batch, k);
}

absl::Status LayerPass::Protect(const kernels::cuda::AttentionBatch& batch, const float* keys) {
  const int64_t width = config_.num_heads * config_.head_dim, kv_width = config_.num_kv_heads * config_.head_dim,
                hidden = config_.hidden_size;
  return AsStatus(backend_.ProtectTokens(batch, b_.q, width, keys, kv_width, b_.hidden, hidden, hidden,
                                         b_.protect_counts, {b_.softmax, b_.importance}, b_.keep_all));
}

absl::Status LayerPass::AttendCodes(const kernels::cuda::AttentionBatch& batch, const float* k, const float* v) {
  const int64_t width = config_.num_heads * config_.head_dim, kv_width = config_.num_kv_heads * config_.head_dim;
  const int bits = std::max(layer_.keys->bits, layer_.values->bits) <= 4 ? 4 : 8;
  const int64_t ld = kv_width * bits / 8;
  const kernels::cuda::KvCodes keys{bits, b_.k_codes, ld, b_.k_grids}, values{bits, b_.v_codes, ld, b_.v_grids};
  for (const auto& [x, format, to] : {std::tuple(k, &*layer_.keys, &keys), {v, &*layer_.values, &values}}) {
    EAQ_RETURN_IF_ERROR(AsStatus(
        backend_.QuantizeKv(x, kv_width, keys_, config_.num_kv_heads, config_.head_dim, format->quantizer, *to)));
  }
  return AsStatus(backend_.AttentionKv(batch, b_.q, width, keys, values, b_.context, width));
}

absl::Status LayerPass::FeedForward() {
  const int64_t hidden = config_.hidden_size;
  Slots all = AllRows();
  if (!layer_.router) return SwiGlu(layer_.experts, all);

  if (observes()) EAQ_RETURN_IF_ERROR(ObserveInput({layer_.layer, Role::kRouter}, b_.normed, hidden));
  EAQ_RETURN_IF_ERROR(Linear(*layer_.router, b_.normed, b_.logits));
  const float* logits = b_.logits;
  int64_t experts = config_.num_experts;
  if (!layer_.kept.empty()) {  // only theirs
    kernels::cuda::RowSource source;
    source.x = b_.logits;
    source.ldx = config_.num_experts;
    source.rows = rows_;
    source.cols = experts = static_cast<int64_t>(layer_.kept.size());
    StepImage select;
    select.kind = kernels::cuda::RowTransform::Kind::kPermute;
    select.permutation = layer_.kept_table;
    EAQ_RETURN_IF_ERROR(Transform(select, source, {}, b_.kept_logits));
    logits = b_.kept_logits;
  }
  EAQ_RETURN_IF_ERROR(AsStatus(backend_.RouteTopK(logits, rows_, experts, layer_.route, b_.chosen, b_.weights)));
  Slots routed;
  routed.expert_of_pair = b_.chosen;
  if (layer_.drop) {
    EAQ_RETURN_IF_ERROR(AsStatus(backend_.DropExperts(b_.weights, b_.chosen, rows_, layer_.route.k, layer_.drop->ratio,
                                                      layer_.drop->protect > 0 ? b_.keep_all : nullptr, b_.sent)));
    routed.expert_of_pair = b_.sent;
  }
  if (!observers_.empty()) EAQ_RETURN_IF_ERROR(ObserveRouter());
  routed.experts = experts;
  routed.k = layer_.route.k;
  routed.count = rows_ * routed.k;
  routed.offsets = b_.offsets;
  routed.pair_of_slot = b_.pair_of_slot;
  routed.slot_of_pair = b_.slot_of_pair;
  routed.pair_weights = b_.weights;
  routed.sorted = true;
  EAQ_RETURN_IF_ERROR(SwiGlu(layer_.experts, routed));
  if (!layer_.shared) return absl::OkStatus();

  if (layer_.shared_gate) {
    if (observes()) EAQ_RETURN_IF_ERROR(ObserveInput({layer_.layer, Role::kSharedExpertGate}, b_.normed, hidden));
    // The sigmoid of one logit is the routing to one of one experts.
    EAQ_RETURN_IF_ERROR(Linear(*layer_.shared_gate, b_.normed, b_.output));
    kernels::cuda::RouteOptions sigmoid;
    sigmoid.sigmoid = true;
    EAQ_RETURN_IF_ERROR(
        AsStatus(backend_.RouteTopK(b_.output, rows_, 1, sigmoid, b_.shared_chosen, b_.shared_weights)));
    all.pair_weights = b_.shared_weights;
  }
  return SwiGlu(*layer_.shared, all);
}

absl::Status LayerPass::SwiGlu(const SwiGluImage& mlp, const Slots& slots) {
  const int64_t hidden = config_.hidden_size;
  if (slots.sorted && (observes() || mlp.gate.input.by_expert)) {  // a launch sorts by itself
    const int32_t* unused;
    EAQ_RETURN_IF_ERROR(TileOffsets(slots, kTiles[0], &unused));
  }
  if (observes()) {
    EAQ_RETURN_IF_ERROR(ObserveExperts(mlp.gates, b_.normed, hidden, true, slots));
    EAQ_RETURN_IF_ERROR(ObserveExperts(mlp.ups, b_.normed, hidden, true, slots));
  }
  const auto from_tokens = [&](const Product& product, bool prepared, float* y) -> absl::Status {
    if (!prepared) EAQ_RETURN_IF_ERROR(Prepare(product.input, hidden, b_.normed, slots, false, nullptr));
    return Launch(product, slots, slots.sorted && !product.input.by_expert, false, y);
  };
  EAQ_RETURN_IF_ERROR(from_tokens(mlp.gate, false, b_.gate));
  if (mlp.up) {
    EAQ_RETURN_IF_ERROR(from_tokens(*mlp.up, SameRows(mlp.gate.input, mlp.up->input), b_.up));
    EAQ_RETURN_IF_ERROR(
        AsStatus(backend_.SiluMul(b_.gate, mlp.width, b_.up, mlp.width, b_.gate, mlp.width, slots.count, mlp.width)));
  }
  if (observes()) EAQ_RETURN_IF_ERROR(ObserveExperts(mlp.downs, b_.gate, mlp.width, false, slots));
  EAQ_RETURN_IF_ERROR(Prepare(mlp.down.input, mlp.width, b_.gate, slots, true, nullptr));
  EAQ_RETURN_IF_ERROR(Launch(mlp.down, slots, false, true, b_.expert_output));
  return AsStatus(backend_.CombineExperts(b_.expert_output, hidden, slots.slot_of_pair, rows_, slots.k, hidden, true,
                                          b_.hidden, hidden));
}

absl::Status LayerPass::Transform(const StepImage& step, kernels::cuda::RowSource source,
                                  const kernels::cuda::RowSets& sets, float* y) {
  kernels::cuda::RowTransform transform;
  transform.kind = step.kind;
  transform.block = step.block;
  transform.stride = step.stride;
  transform.core_order = step.core_order;
  transform.rotation = At<float>(step.rotation);
  transform.permutation = At<int32_t>(step.permutation);
  transform.core = At<int8_t>(step.core);
  source.divisors = At<float>(step.divisors);
  return AsStatus(backend_.TransformRows(source, transform, sets, y));
}

absl::Status LayerPass::Round(const InputFormat& rounding, float* x, int64_t rows, int64_t cols) {
  const int64_t group = rounding.group == 0 ? cols : rounding.group;
  if (cols % group == 0) {
    return AsStatus(backend_.FakeQuantPerToken(x, group, rows * (cols / group), group, rounding.quantizer));
  }
  for (int64_t c = 0; c < cols; c += group) {  // the last group of a row is shorter
    EAQ_RETURN_IF_ERROR(
        AsStatus(backend_.FakeQuantPerToken(x + c, cols, rows, std::min(group, cols - c), rounding.quantizer)));
  }
  return absl::OkStatus();
}

absl::Status LayerPass::Prepare(const RowsImage& input, int64_t cols, const float* x, const Slots& slots, bool by_slot,
                                const float** floats) {
  kernels::cuda::RowSource source;
  source.x = x;
  source.ldx = source.cols = cols;
  source.rows = by_slot || input.by_expert ? slots.count : rows_;
  kernels::cuda::RowSets sets;
  if (input.by_expert) {
    sets = {slots.pair_of_slot, b_.chosen};
    if (!by_slot) {
      source.gather = slots.pair_of_slot;
      source.gather_divisor = static_cast<int32_t>(slots.k);
    }
  }
  float *to = b_.changed, *other = b_.changed_again;
  for (const StepImage& step : input.steps) {
    EAQ_RETURN_IF_ERROR(Transform(step, source, sets, to));
    source.x = to;
    source.gather = nullptr;
    std::swap(to, other);
  }
  if (input.rounds) EAQ_RETURN_IF_ERROR(Round(input.input, other, source.rows, cols));  // where the last step wrote
  source.divisors = At<float>(input.divisors);
  switch (input.form) {
    case RowsImage::Form::kFloat32:
      *floats = source.x;
      return absl::OkStatus();
    case RowsImage::Form::kBf16:
      return AsStatus(backend_.GatherRowsBf16(source, input.terms, reinterpret_cast<uint16_t*>(b_.input)));
    case RowsImage::Form::kCodes:
      break;
  }
  return AsStatus(backend_.QuantizeRows(source, input.input.quantizer, reinterpret_cast<int8_t*>(b_.input), b_.scales,
                                        b_.zeros, b_.sums));
}

absl::Status LayerPass::TileOffsets(const Slots& slots, int64_t tile, const int32_t** offsets) {
  if (!slots.sorted) {
    const auto place = std::find(std::begin(kTiles), std::end(kTiles), tile) - std::begin(kTiles);
    *offsets = b_.one_expert + 2 + 2 * place;
    return absl::OkStatus();
  }
  *offsets = b_.tile_offsets;
  if (sorted_tile_ == tile) return absl::OkStatus();
  sorted_tile_ = tile;
  const kernels::cuda::SortedTokens sorted = {b_.pair_of_slot, b_.slot_of_pair, b_.offsets, b_.tile_offsets};
  return AsStatus(
      backend_.SortTokens(slots.expert_of_pair, slots.count, slots.experts, tile, b_.sort_workspace, sorted));
}

absl::Status LayerPass::Launch(const Product& product, const Slots& slots, bool gather, bool weigh, float* y) {
  const int64_t rows = gather ? rows_ : slots.count;  // that are prepared
  const int64_t term_bytes = rows * PaddedColumns(product.cols) * int64_t{sizeof(uint16_t)};
  // An ordinary linear, whose results cuBLAS adds up by itself.
  const bool dense = !product.matrices.empty() && !gather && !(weigh && slots.pair_weights != nullptr);
  bool first = true;
  for (const int64_t plane : dense ? product.matrices : product.weights) {
    for (int term = 0; term < product.input.terms; ++term) {
      const uint8_t* const input = b_.input + term * term_bytes;
      if (dense) {
        const int64_t padded = PaddedColumns(product.cols);
        EAQ_RETURN_IF_ERROR(
            AsStatus(backend_.LinearBf16(reinterpret_cast<const uint16_t*>(input), padded, At<uint16_t>(plane), padded,
                                         !first, y, product.outputs, slots.count, product.rows, product.cols)));
      } else {
        EAQ_RETURN_IF_ERROR(LaunchOne(product, plane, input, slots, gather, weigh, first ? y : b_.partial));
      }
      if (!dense && !first) {
        EAQ_RETURN_IF_ERROR(AsStatus(backend_.CombineExperts(b_.partial, product.outputs, b_.identity, slots.count, 1,
                                                             product.outputs, true, y, product.outputs)));
      }
      first = false;
    }
  }
  return absl::OkStatus();
}

absl::Status LayerPass::LaunchOne(const Product& product, int64_t weights, const uint8_t* input, const Slots& slots,
                                  bool gather, bool weigh, float* y) {
  if (product.format.kind == ProductFormat::Kind::kBf16) {
    kernels::cuda::GroupedBf16Arguments a;
    EAQ_RETURN_IF_ERROR(TileOffsets(slots, kernels::cuda::kBf16TokenTile, &a.tile_offsets));
    a.experts = At<const uint16_t*>(weights);
    a.expert_count = product.experts;
    a.rows = product.rows;
    a.cols = product.cols;
    a.offsets = slots.offsets;
    a.slots = slots.count;
    a.x = reinterpret_cast<const uint16_t*>(input);
    if (gather) a.x_rows = slots.pair_of_slot;
    a.x_row_divisor = static_cast<int32_t>(slots.k);
    a.y = y;
    a.ldy = product.outputs;
    if (weigh) a.pair_weights = slots.pair_weights;
    a.pair_of_slot = slots.pair_of_slot;
    return AsStatus(backend_.GroupedBf16(a));
  }
  kernels::cuda::GroupedGemmArguments a;
  a.token_tile = kernels::cuda::TokenTile(slots.count, slots.experts);
  EAQ_RETURN_IF_ERROR(TileOffsets(slots, a.token_tile, &a.tile_offsets));
  a.experts = At<kernels::cuda::ExpertMatrix>(weights);
  a.expert_count = product.experts;
  a.rows = product.rows;
  a.cols = product.cols;
  a.group = product.format.group;
  a.offsets = slots.offsets;
  a.slots = slots.count;
  a.x = input;
  if (product.format.integer) {
    a.x_scales = b_.scales;
    a.x_zeros = b_.zeros;
    a.x_sums = b_.sums;
    a.x_sums_of_brick = product.input.input.quantizer.sums_of_brick;
  }
  if (gather) a.x_rows = slots.pair_of_slot;
  a.x_row_divisor = static_cast<int32_t>(slots.k);
  a.swiglu = product.swiglu;
  a.outputs = product.outputs;
  a.y = y;
  a.ldy = product.outputs;
  if (weigh) a.pair_weights = slots.pair_weights;
  a.pair_of_slot = slots.pair_of_slot;
  return AsStatus(backend_.GroupedGemm(product.format.format, a));
}

LayerPass::Slots LayerPass::AllRows() const {
  Slots all;
  all.count = rows_;
  all.offsets = b_.one_expert;
  all.pair_of_slot = all.slot_of_pair = b_.identity;
  return all;
}

absl::Status LayerPass::Linear(const Product& product, const float* x, float* y, bool prepared) {
  const Slots all = AllRows();
  const float* floats = nullptr;
  if (!prepared) EAQ_RETURN_IF_ERROR(Prepare(product.input, product.cols, x, all, false, &floats));
  if (product.input.floats()) {
    EAQ_RETURN_IF_ERROR(AsStatus(
        backend_.Linear(floats, product.cols, At<float>(product.weights[0]), y, rows_, product.outputs, product.cols)));
  } else {
    EAQ_RETURN_IF_ERROR(Launch(product, all, false, false, y));
  }
  if (product.bias < 0) return absl::OkStatus();
  // The one row of the bias under every row.
  return AsStatus(backend_.CombineExperts(At<float>(product.bias), product.outputs, b_.zero_slots, rows_, 1,
                                          product.outputs, true, y, product.outputs));
}

}  // namespace eaq

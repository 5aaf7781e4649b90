#include "eaq/device/layer_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/device/copy_rows.h"
#include "eaq/model/rope.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/grouped_bf16.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/sort_tokens.h"

namespace eaq {
namespace {

using kernels::cuda::PaddedColumns;

constexpr int64_t kTiles[] = {8, 16, 32, 128};  // of launches over one expert, in the order of Buffers::one_expert

int64_t CeilDiv(int64_t n, int64_t step) { return (n + step - 1) / step; }

}  // namespace

template <typename Take>
void LayerPass::Lay(const ModelConfig& config, int64_t rows, Buffers& b, Take take) {
  const int64_t hidden = config.hidden_size, width = config.num_heads * config.head_dim,
                kv_width = config.num_kv_heads * config.head_dim;
  const int64_t pairs = rows * std::max<int64_t>(1, config.experts_per_token), slots = std::max(rows, pairs);
  const int64_t between =
      std::max({pairs * config.expert_width, rows * config.dense_width, rows * config.shared_width});
  const int64_t input =
      2 * std::max({rows * PaddedColumns(std::max(hidden, width)), pairs * PaddedColumns(config.expert_width),
                    rows * PaddedColumns(config.dense_width), rows * PaddedColumns(config.shared_width)});
  const int64_t widest = std::max({hidden, width, config.expert_width, config.dense_width, config.shared_width});
  const int64_t experts = std::max<int64_t>(1, config.num_experts);
  take(b.hidden, "hidden", rows * hidden);
  take(b.normed, "normed", rows * hidden);
  take(b.q, "queries", rows * width);
  take(b.k, "keys", rows * kv_width);
  take(b.v, "values", rows * kv_width);
  take(b.context, "context", rows * width);
  take(b.output, "output", rows * hidden);
  take(b.cosines, "cosines", rows * config.head_dim / 2);
  take(b.sines, "sines", rows * config.head_dim / 2);
  take(b.query_begin, "query_begin", rows + 1);
  take(b.key_begin, "key_begin", rows);
  take(b.key_count, "key_count", rows);
  take(b.identity, "identity", rows);
  take(b.one_expert, "one_expert", 2 + 2 * std::size(kTiles));
  take(b.logits, "router logits", rows * experts);
  take(b.weights, "expert weights", slots);
  take(b.shared_weights, "shared expert's weights", rows);
  take(b.chosen, "chosen experts", slots);
  take(b.shared_chosen, "shared expert's choice", rows);
  take(b.pair_of_slot, "pair_of_slot", slots);
  take(b.slot_of_pair, "slot_of_pair", slots);
  take(b.offsets, "offsets", experts + 1);
  take(b.tile_offsets, "tile_offsets", experts + 1);
  take(b.sort_workspace, "sort workspace", kernels::cuda::SortTokensWorkspace(slots, experts));
  take(b.gate, "gate", between);
  take(b.up, "up", between);
  take(b.expert_output, "expert output", slots * hidden);
  take(b.input, "prepared rows", input);
  take(b.scales, "scales of rows", slots);
  take(b.zeros, "zeros of rows", slots);
  take(b.sums, "sums of rows", slots * (PaddedColumns(widest) / kernels::cuda::kBrickColumns + 1));
}

int64_t LayerPass::WorkspaceBytes(const ModelConfig& config, int64_t rows, bool checked) {
  Buffers unused;
  return kernels::Arena::FootprintOf([&](auto take) { Lay(config, rows, unused, take); }, checked);
}

absl::Status LayerPass::Run(MatrixView hidden, absl::Span<const int64_t> lengths,
                            absl::Span<LayerObserver* const> observers) {
  rows_ = hidden.rows;
  sequences_ = lengths.size();
  lengths_ = lengths;
  observers_ = observers;
  EAQ_RETURN_IF_ERROR(Start(hidden, lengths));
  EAQ_RETURN_IF_ERROR(Attend());
  EAQ_RETURN_IF_ERROR(FeedForward());
  return CopyRowsOut(*backend_.device(), hidden, b_.hidden);
}

absl::Status LayerPass::Start(MatrixView hidden, absl::Span<const int64_t> lengths) {
  EAQ_RETURN_IF_ERROR(AsStatus(workspace_.TakeAll([&](auto take) { Lay(config_, rows_, b_, take); })));

  std::vector<int32_t> query_begin = {0}, key_begin, key_count, identity(rows_), one_expert = {0, 0};
  longest_ = *std::max_element(lengths.begin(), lengths.end());
  const auto rope = GetRopeTable(config_, longest_);
  const int64_t half = config_.head_dim / 2;
  std::vector<float> cosines(rows_ * half), sines(rows_ * half);
  for (const int64_t length : lengths) {
    const int64_t first = query_begin.back();
    key_begin.push_back(static_cast<int32_t>(first));
    key_count.push_back(static_cast<int32_t>(length));
    std::memcpy(cosines.data() + first * half, rope->cosines.row(0), length * half * sizeof(float));
    std::memcpy(sines.data() + first * half, rope->sines.row(0), length * half * sizeof(float));
    query_begin.push_back(static_cast<int32_t>(first + length));
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
  EAQ_RETURN_IF_ERROR(put(b_.identity, identity));
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
  const Product* prepared = nullptr;
  for (const auto& [product, to] : {std::pair(&layer_.q, b_.q), {&layer_.k, b_.k}, {&layer_.v, b_.v}}) {
    const bool same = prepared != nullptr && prepared->format.input == product->format.input &&
                      prepared->format.input.quantizer.pack4 == product->format.input.quantizer.pack4;
    if (product->format.kind == ProductFormat::Kind::kFloat32) {
      EAQ_RETURN_IF_ERROR(Linear(*product, b_.normed, to));
      continue;
    }
    if (!same) EAQ_RETURN_IF_ERROR(Prepare(*product, b_.normed, rows_));
    prepared = product;
    Slots slots;
    slots.count = rows_;
    slots.offsets = b_.one_expert;
    EAQ_RETURN_IF_ERROR(Launch(*product, slots, false, false, to));
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
  const auto round = [&](const std::optional<ActivationQuantizer>& to, float* x, int64_t heads) {
    if (!to) return absl::OkStatus();
    const int64_t n = config_.head_dim;
    return AsStatus(backend_.FakeQuantPerToken(x, n, rows_ * heads, n, to->spec().bits, to->clip_ratio()));
  };
  EAQ_RETURN_IF_ERROR(round(layer_.keys, b_.q, config_.num_heads));
  EAQ_RETURN_IF_ERROR(round(layer_.keys, b_.k, config_.num_kv_heads));
  EAQ_RETURN_IF_ERROR(round(layer_.values, b_.v, config_.num_kv_heads));

  kernels::cuda::AttentionBatch batch;
  batch.sequences = sequences_;
  batch.query_begin = b_.query_begin;
  batch.key_begin = b_.key_begin;
  batch.key_count = b_.key_count;
  batch.max_queries = batch.max_keys = longest_;
  batch.heads = config_.num_heads;
  batch.kv_heads = config_.num_kv_heads;
  batch.head_dim = config_.head_dim;
  batch.window = config_.sliding_window;
  batch.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config_.head_dim)));
  EAQ_RETURN_IF_ERROR(
      AsStatus(backend_.Attention(batch, b_.q, width, b_.k, kv_width, b_.v, kv_width, b_.context, width)));
  if (observes()) EAQ_RETURN_IF_ERROR(ObserveInput({layer_.layer, Role::kO}, b_.context, width));
  EAQ_RETURN_IF_ERROR(Linear(layer_.o, b_.context, b_.output));
  return AsStatus(backend_.AddRmsNorm(b_.hidden, hidden, b_.output, hidden, At<float>(layer_.post_norm), eps, b_.normed,
                                      hidden, rows_, hidden));
}

absl::Status LayerPass::FeedForward() {
  const int64_t hidden = config_.hidden_size;
  Slots all;  // every row, of one expert
  all.count = rows_;
  all.offsets = b_.one_expert;
  all.pair_of_slot = all.slot_of_pair = b_.identity;
  if (!layer_.router) return SwiGlu(layer_.experts, all);

  if (observes()) EAQ_RETURN_IF_ERROR(ObserveInput({layer_.layer, Role::kRouter}, b_.normed, hidden));
  EAQ_RETURN_IF_ERROR(Linear(*layer_.router, b_.normed, b_.logits));
  EAQ_RETURN_IF_ERROR(
      AsStatus(backend_.RouteTopK(b_.logits, rows_, config_.num_experts, layer_.route, b_.chosen, b_.weights)));
  if (!observers_.empty()) EAQ_RETURN_IF_ERROR(ObserveRouter());
  Slots routed;
  routed.experts = config_.num_experts;
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
  if (observes() && slots.sorted) {  // a launch sorts by itself
    const int32_t* unused;
    EAQ_RETURN_IF_ERROR(TileOffsets(slots, kTiles[0], &unused));
  }
  if (observes()) {
    EAQ_RETURN_IF_ERROR(ObserveExperts(mlp.gates, b_.normed, hidden, true, slots));
    EAQ_RETURN_IF_ERROR(ObserveExperts(mlp.ups, b_.normed, hidden, true, slots));
  }
  const auto rows_to = [&](const Product& product, float* y) -> absl::Status {
    if (product.format.kind == ProductFormat::Kind::kFloat32) return Linear(product, b_.normed, y);
    EAQ_RETURN_IF_ERROR(Prepare(product, b_.normed, rows_));
    return Launch(product, slots, slots.sorted, false, y);
  };
  EAQ_RETURN_IF_ERROR(rows_to(mlp.gate, b_.gate));
  if (mlp.up) {
    EAQ_RETURN_IF_ERROR(rows_to(*mlp.up, b_.up));
    EAQ_RETURN_IF_ERROR(
        AsStatus(backend_.SiluMul(b_.gate, mlp.width, b_.up, mlp.width, b_.gate, mlp.width, slots.count, mlp.width)));
  }
  if (observes()) EAQ_RETURN_IF_ERROR(ObserveExperts(mlp.downs, b_.gate, mlp.width, false, slots));
  if (mlp.down.format.kind == ProductFormat::Kind::kFloat32) {
    EAQ_RETURN_IF_ERROR(Linear(mlp.down, b_.gate, b_.expert_output));
  } else {
    EAQ_RETURN_IF_ERROR(Prepare(mlp.down, b_.gate, slots.count));
    EAQ_RETURN_IF_ERROR(Launch(mlp.down, slots, false, true, b_.expert_output));
  }
  return AsStatus(backend_.CombineExperts(b_.expert_output, hidden, slots.slot_of_pair, rows_, slots.k, hidden, true,
                                          b_.hidden, hidden));
}

absl::Status LayerPass::Prepare(const Product& product, const float* x, int64_t rows) {
  kernels::cuda::RowSource source;
  source.x = x;
  source.ldx = source.cols = product.cols;
  source.rows = rows;
  source.divisors = At<float>(product.divisors);
  const InputFormat& input = product.format.input;
  if (input.bits == 16) return AsStatus(backend_.GatherRowsBf16(source, reinterpret_cast<uint16_t*>(b_.input)));
  return AsStatus(backend_.QuantizeRows(source, input.quantizer, reinterpret_cast<int8_t*>(b_.input), b_.scales,
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
  return AsStatus(backend_.SortTokens(b_.chosen, slots.count, slots.experts, tile, b_.sort_workspace, sorted));
}

absl::Status LayerPass::Launch(const Product& product, const Slots& slots, bool gather, bool weigh, float* y) {
  if (product.format.kind == ProductFormat::Kind::kBf16) {
    kernels::cuda::GroupedBf16Arguments a;
    EAQ_RETURN_IF_ERROR(TileOffsets(slots, kernels::cuda::kBf16TokenTile, &a.tile_offsets));
    a.experts = At<const uint16_t*>(product.weights);
    a.expert_count = product.experts;
    a.rows = product.rows;
    a.cols = product.cols;
    a.offsets = slots.offsets;
    a.slots = slots.count;
    a.x = reinterpret_cast<const uint16_t*>(b_.input);
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
  a.experts = At<kernels::cuda::ExpertMatrix>(product.weights);
  a.expert_count = product.experts;
  a.rows = product.rows;
  a.cols = product.cols;
  a.group = product.format.group;
  a.offsets = slots.offsets;
  a.slots = slots.count;
  a.x = b_.input;
  if (product.format.input.bits < 16) {
    a.x_scales = b_.scales;
    a.x_zeros = b_.zeros;
    a.x_sums = b_.sums;
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

absl::Status LayerPass::Linear(const Product& product, const float* x, float* y) {
  if (product.format.kind == ProductFormat::Kind::kFloat32) {
    return AsStatus(
        backend_.Linear(x, product.cols, At<float>(product.weights), y, rows_, product.outputs, product.cols));
  }
  EAQ_RETURN_IF_ERROR(Prepare(product, x, rows_));
  Slots slots;
  slots.count = rows_;
  slots.offsets = b_.one_expert;
  return Launch(product, slots, false, false, y);
}

absl::Status LayerPass::ObserveInput(const LinearId& id, const float* x, int64_t cols) {
  Matrix rows(rows_, cols);
  EAQ_RETURN_IF_ERROR(AsStatus(backend_.device()->CopyOut(rows.data(), x, rows.size() * int64_t{sizeof(float)})));
  int64_t first = 0;
  for (size_t s = 0; s < observers_.size(); first += lengths_[s++]) {
    observers_[s]->OnLinearInput(id, rows.const_view().Rows(first, lengths_[s]), {});
  }
  return absl::OkStatus();
}

absl::Status LayerPass::ObserveExperts(const std::vector<LinearId>& ids, const float* x, int64_t cols, bool by_token,
                                       const Slots& slots) {
  if (!slots.sorted) return ObserveInput(ids[0], x, cols);
  std::vector<int32_t> pairs(slots.count), offsets(slots.experts + 1);
  Matrix rows(by_token ? rows_ : slots.count, cols);
  kernels::Device& device = *backend_.device();
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(pairs.data(), b_.pair_of_slot, pairs.size() * int64_t{sizeof(int32_t)})));
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(offsets.data(), b_.offsets, offsets.size() * int64_t{sizeof(int32_t)})));
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(rows.data(), x, rows.size() * int64_t{sizeof(float)})));
  for (int64_t e = 0; e < slots.experts; ++e) {
    int64_t first_row = 0, slot = offsets[e];
    for (size_t s = 0; s < observers_.size(); first_row += lengths_[s++]) {
      std::vector<int32_t> tokens;
      const int64_t first_slot = slot;
      for (; slot < offsets[e + 1] && pairs[slot] / slots.k < first_row + lengths_[s]; ++slot) {
        tokens.push_back(static_cast<int32_t>(pairs[slot] / slots.k - first_row));
      }
      if (tokens.empty()) continue;
      Matrix own(tokens.size(), cols);
      for (size_t i = 0; i < tokens.size(); ++i) {
        const int64_t row = by_token ? first_row + tokens[i] : first_slot + static_cast<int64_t>(i);
        std::memcpy(own.row(i), rows.row(row), cols * sizeof(float));
      }
      observers_[s]->OnLinearInput(ids[e], own.const_view(), tokens);
    }
  }
  return absl::OkStatus();
}

absl::Status LayerPass::ObserveRouter() {
  const int64_t experts = config_.num_experts, k = layer_.route.k;
  Matrix logits(rows_, experts);
  std::vector<int32_t> chosen(rows_ * k);
  std::vector<float> weights(rows_ * k);
  kernels::Device& device = *backend_.device();
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(logits.data(), b_.logits, logits.size() * int64_t{sizeof(float)})));
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(chosen.data(), b_.chosen, chosen.size() * int64_t{sizeof(int32_t)})));
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(weights.data(), b_.weights, weights.size() * int64_t{sizeof(float)})));
  int64_t first = 0;
  for (size_t s = 0; s < observers_.size(); first += lengths_[s++]) {
    const size_t from = first * k, count = lengths_[s] * k;
    observers_[s]->OnRouter(layer_.layer, logits.const_view().Rows(first, lengths_[s]),
                            absl::MakeConstSpan(chosen).subspan(from, count),
                            absl::MakeConstSpan(weights).subspan(from, count));
  }
  return absl::OkStatus();
}

}  // namespace eaq

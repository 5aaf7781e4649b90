#include "eaq/methods/quarot/fold.h"

#include <utility>
#include <vector>

#include "eaq/tensor/hadamard.h"

namespace eaq {
namespace {

// [cols, rows] of m[rows, cols].
std::vector<double> Transposed(const double* m, int64_t rows, int64_t cols) {
  std::vector<double> t(rows * cols);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) t[c * rows + r] = m[r * cols + c];
  return t;
}

// W[out, in] <- T^T W for a transform of rows of OUT numbers: TURN acts on contiguous rows.
template <typename Turn>
void TurnOutputs(int64_t out, int64_t in, double* weight, absl::Span<double> bias, const Turn& turn) {
  std::vector<double> t = Transposed(weight, out, in);
  turn(t.data(), in);
  t = Transposed(t.data(), in, out);
  std::copy(t.begin(), t.end(), weight);
  if (!bias.empty()) turn(bias.data(), 1);
}

}  // namespace

void FoldResidual(Role role, absl::Span<const float> input_norm, absl::Span<const float> post_norm, const Rotation& q,
                  int64_t out, int64_t in, double* weight, absl::Span<double> bias) {
  if (role == Role::kO || role == Role::kDown || role == Role::kSharedDown) {
    TurnOutputs(out, in, weight, bias, [&](double* rows, int64_t count) { q.Turn(rows, count); });
    return;
  }
  const bool attention = role == Role::kQ || role == Role::kK || role == Role::kV;
  const absl::Span<const float> gain = attention ? input_norm : post_norm;
  for (int64_t r = 0; r < out; ++r)
    for (int64_t c = 0; c < in; ++c) weight[r * in + c] *= gain[c];
  q.Turn(weight, out);
}

int64_t LargestHadamardBlock(int64_t n) {
  for (int64_t block = n; block > 1; --block)
    if (n % block == 0 && HadamardExists(block)) return block;
  return 1;
}

std::map<LinearId, LinearChange> PlanOnline(const ModelConfig& config, int layer, const QuaRot& options) {
  std::map<LinearId, LinearChange> plan;
  if (options.weight_only()) return plan;
  if (options.down()) {
    const auto add = [&](const LinearId& id, int64_t width) {
      const int64_t block = LargestHadamardBlock(width);
      if (block == 1) return;
      LinearChange& change = plan[id];
      change.folded.steps = {OnlineStep::Hadamard(block)};
      change.online = std::make_shared<const OnlineTransform>(change.folded);
    };
    if (!config.IsMoe(layer)) add({layer, Role::kDown}, config.dense_width);
    for (int e = 0; config.IsMoe(layer) && e < config.num_experts; ++e)
      add({layer, Role::kDown, e}, config.expert_width);
    if (config.IsMoe(layer) && config.shared_width > 0) add({layer, Role::kSharedDown}, config.shared_width);
  }
  if (options.value_output()) {
    const int64_t within = LargestHadamardBlock(config.head_dim), across = LargestHadamardBlock(config.num_heads);
    LinearChange o;
    OnlineTransform online;
    if (within > 1) {
      o.folded.steps.push_back(OnlineStep::Hadamard(within));
      if (config.clip_qkv) {
        online.steps.push_back(o.folded.steps.back());
      } else {
        plan[{layer, Role::kV}].output_block = within;
      }
    }
    if (across > 1) {
      o.folded.steps.push_back(OnlineStep::Hadamard(across, config.head_dim));
      online.steps.push_back(o.folded.steps.back());
    }
    if (!online.steps.empty()) o.online = std::make_shared<const OnlineTransform>(std::move(online));
    if (!o.folded.steps.empty()) plan[{layer, Role::kO}] = std::move(o);
  }
  return plan;
}

int64_t QueryKeyBlock(const ModelConfig& config, const QuaRot& options) {
  const int64_t block = LargestHadamardBlock(config.head_dim);
  return options.query_key() && !options.weight_only() && block > 1 ? block : 0;
}

void ApplyChange(const LinearChange& change, int64_t out, int64_t in, double* weight, absl::Span<double> bias) {
  change.folded.FoldIntoWeight(weight, out, in);
  if (change.output_block == 0) return;
  const OnlineTransform blocks{{OnlineStep::Hadamard(change.output_block)}};
  TurnOutputs(out, in, weight, bias, [&](double* rows, int64_t count) { blocks.ApplyToInput(rows, count, out); });
}

}  // namespace eaq

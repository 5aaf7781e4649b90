#include "eaq/model/feed_forward.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/backend.h"

namespace eaq {

// Memory of one thread, kept between calls: a window is one unit of work on one thread (layer.h).
struct FeedForward::Scratch {
  Matrix router_logits, gathered, gate, up, output, shared_gate;
  Routing routing;
  std::vector<int32_t> begin;   // [experts + 1]: expert e's slots in the two lists below
  std::vector<int32_t> tokens;  // positions, rising per expert
  std::vector<float> weights;
};

FeedForward::Scratch& FeedForward::ThreadScratch() {
  static thread_local Scratch scratch;
  return scratch;
}

FeedForward::FeedForward(const ModelConfig& config, int layer,
                         const std::function<const Linear*(const LinearId&)>& find,
                         std::shared_ptr<const RoutingPolicy> policy)
    : config_(config), layer_(layer), policy_(std::move(policy)) {
  const auto swiglu = [&](Role gate, Role up, Role down, int expert) {
    SwiGlu mlp{{layer, gate, expert}, {layer, up, expert}, {layer, down, expert}};
    mlp.gate = find(mlp.gate_id);
    mlp.up = find(mlp.up_id);
    mlp.down = find(mlp.down_id);
    return mlp;
  };
  if (!config.IsMoe(layer)) {
    experts_.push_back(swiglu(Role::kGate, Role::kUp, Role::kDown, -1));
    return;
  }
  router_ = find({layer, Role::kRouter});
  for (int e = 0; e < config.num_experts; ++e) experts_.push_back(swiglu(Role::kGate, Role::kUp, Role::kDown, e));
  if (config.shared_width > 0) {
    has_shared_ = true;
    shared_ = swiglu(Role::kSharedGate, Role::kSharedUp, Role::kSharedDown, -1);
    if (config.shared_expert_gated) shared_expert_gate_ = find({layer, Role::kSharedExpertGate});
  }
}

void FeedForward::Run(const SwiGlu& mlp, ConstMatrixView x, absl::Span<const int32_t> tokens, LayerObserver* observer,
                      Scratch& s) const {
  s.gate.Resize(x.rows, mlp.gate->out_features());
  s.up.Resize(x.rows, mlp.up->out_features());
  s.output.Resize(x.rows, config_.hidden_size);
  if (observer != nullptr) {
    observer->OnLinearInput(mlp.gate_id, x, tokens);
    observer->OnLinearInput(mlp.up_id, x, tokens);
  }
  mlp.gate->Forward(x, s.gate.view());
  mlp.up->Forward(x, s.up.view());
  kernels::SiluMul(s.gate.data(), s.up.data(), s.gate.data(), s.gate.size());
  if (observer != nullptr) observer->OnLinearInput(mlp.down_id, s.gate.view(), tokens);
  mlp.down->Forward(s.gate.view(), s.output.view());
}

void FeedForward::Add(ConstMatrixView x, MatrixView out, LayerObserver* observer,
                      absl::Span<const uint8_t> keep_all) const {
  Scratch& s = ThreadScratch();
  const int64_t n = x.rows, hidden = config_.hidden_size, k = config_.experts_per_token;
  if (router_ == nullptr) {
    Run(experts_[0], x, {}, observer, s);
    for (int64_t t = 0; t < n; ++t) kernels::Axpy(1.0f, s.output.row(t), out.row(t), hidden);
    return;
  }

  s.router_logits.Resize(n, config_.num_experts);
  if (observer != nullptr) observer->OnLinearInput({layer_, Role::kRouter}, x, {});
  router_->Forward(x, s.router_logits.view());
  if (policy_ == nullptr) {
    Route(config_, s.router_logits.view(), &s.routing);
  } else {
    Route(config_, s.router_logits.view(), &s.routing, policy_->kept);
    if (policy_->drop) DropExperts(*policy_->drop, k, keep_all, &s.routing);
  }
  const bool drops = policy_ != nullptr && policy_->drop;
  if (observer != nullptr) observer->OnRouter(layer_, s.router_logits.view(), s.routing.experts, s.routing.weights);

  // Counting sort of the (token, slot) pairs by expert, without those that were dropped.
  s.begin.assign(config_.num_experts + 1, 0);
  for (int64_t i = 0; i < n * k; ++i) {
    if (!drops || s.routing.weights[i] != 0) ++s.begin[s.routing.experts[i] + 1];
  }
  for (int64_t e = 0; e < config_.num_experts; ++e) s.begin[e + 1] += s.begin[e];
  s.tokens.resize(n * k);
  s.weights.resize(n * k);
  std::vector<int32_t> next(s.begin.begin(), s.begin.end() - 1);
  for (int64_t i = 0; i < n * k; ++i) {
    if (drops && s.routing.weights[i] == 0) continue;
    const int32_t slot = next[s.routing.experts[i]]++;
    s.tokens[slot] = static_cast<int32_t>(i / k);
    s.weights[slot] = s.routing.weights[i];
  }
  for (int64_t e = 0; e < config_.num_experts; ++e) {
    const int64_t first = s.begin[e], count = s.begin[e + 1] - first;
    if (count == 0) continue;
    const absl::Span<const int32_t> tokens(s.tokens.data() + first, count);
    s.gathered.Resize(count, hidden);
    for (int64_t i = 0; i < count; ++i) std::memcpy(s.gathered.row(i), x.row(tokens[i]), hidden * sizeof(float));
    Run(experts_[e], s.gathered.view(), tokens, observer, s);
    for (int64_t i = 0; i < count; ++i)
      kernels::Axpy(s.weights[first + i], s.output.row(i), out.row(tokens[i]), hidden);
  }

  if (!has_shared_) return;
  if (shared_expert_gate_ != nullptr) {
    s.shared_gate.Resize(n, 1);
    if (observer != nullptr) observer->OnLinearInput({layer_, Role::kSharedExpertGate}, x, {});
    shared_expert_gate_->Forward(x, s.shared_gate.view());
  }
  Run(shared_, x, {}, observer, s);
  for (int64_t t = 0; t < n; ++t) {
    const float gate = shared_expert_gate_ == nullptr ? 1.0f : 1.0f / (1.0f + std::exp(-s.shared_gate(t, 0)));
    kernels::Axpy(gate, s.output.row(t), out.row(t), hidden);
  }
}

}  // namespace eaq

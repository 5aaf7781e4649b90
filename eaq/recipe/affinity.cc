#include "eaq/recipe/affinity.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

bool IsShared(Role role) { return role == Role::kSharedGate || role == Role::kSharedUp || role == Role::kSharedDown; }

}  // namespace

absl::StatusOr<int> AffinityPower(const Affinity& affinity) {
  if (affinity.power() >= 0 && affinity.power() <= 2) return affinity.power();
  return absl::InvalidArgumentError(absl::StrCat("affinity.power is ", affinity.power(), ", expected 0, 1 or 2"));
}

bool HasAffinity(const ModelConfig& config, const LinearId& id) {
  return id.expert >= 0 || (IsShared(id.role) && config.shared_expert_gated);
}

void AffinityRecorder::OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t>) {
  if (id.role != Role::kSharedExpertGate) return;
  Matrix gate(x.rows, 1);
  layer_->linears().at(id)->Forward(x, gate.view());
  shared_.resize(x.rows);
  for (int64_t t = 0; t < x.rows; ++t) shared_[t] = 1.0f / (1.0f + std::exp(-gate(t, 0)));
}

void AffinityRecorder::OnRouter(int, ConstMatrixView, absl::Span<const int32_t> experts,
                                absl::Span<const float> weights) {
  routed_.clear();
  // Token by token, so in the order of each expert's rows.
  for (size_t i = 0; i < experts.size(); ++i) routed_[experts[i]].push_back(weights[i]);
}

std::vector<float> AffinityRecorder::Of(const LinearId& id, int power) const {
  std::vector<float> c;
  if (power == 0) return c;
  if (id.expert >= 0) {
    const auto it = routed_.find(id.expert);
    if (it != routed_.end()) c = it->second;
  } else if (IsShared(id.role)) {
    c = shared_;
  }
  if (power == 2) {
    for (float& value : c) value *= value;
  }
  return c;
}

absl::StatusOr<std::map<LinearId, std::vector<float>>> CollectAffinities(const DecoderLayer& layer,
                                                                         absl::Span<const Matrix> hidden,
                                                                         const std::vector<LinearId>& linears,
                                                                         int power, const QuantizeOps& ops,
                                                                         ThreadPool& pool) {
  std::vector<AffinityRecorder> windows(hidden.size(), AffinityRecorder(layer));
  std::vector<Matrix> states(hidden.begin(), hidden.end());
  std::vector<LayerObserver*> observers;
  for (AffinityRecorder& window : windows) observers.push_back(&window);
  EAQ_RETURN_IF_ERROR(ops.ForwardLayer(layer, NoCodes, absl::MakeSpan(states), observers, pool));
  std::map<LinearId, std::vector<float>> all;
  for (const LinearId& id : linears) {
    std::vector<float>& to = all[id];
    to.clear();
    for (const AffinityRecorder& window : windows) {
      const std::vector<float> c = window.Of(id, power);
      to.insert(to.end(), c.begin(), c.end());
    }
  }
  return all;
}

}  // namespace eaq

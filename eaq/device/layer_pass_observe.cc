// What a layer on a device tells its observers: copied back, cut by sequence.
#include <cstring>
#include <vector>

#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/device/layer_pass.h"

namespace eaq {

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
  if (!layer_.kept.empty()) {
    for (int32_t& expert : chosen) expert = layer_.kept[expert];
  }
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

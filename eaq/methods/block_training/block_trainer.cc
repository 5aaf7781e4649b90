#include "eaq/methods/block_training/block_trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/layer.h"

namespace eaq {
namespace {

// Windows of a batch run in at most so many shares. More would use more cores and make smaller products.
constexpr int64_t kShares = 4;

absl::Status CheckWindows(const LayerContext& context, int layer) {
  const auto hidden = context.hidden, full = context.full_hidden;
  if (hidden.empty() || hidden.size() != full.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", layer, ": learning needs calibration windows; found ", hidden.size(), " and ",
                     full.size(), " of the full-precision model (a recipe with calibration { none {} } has none)"));
  }
  for (size_t w = 0; w < hidden.size(); ++w) {
    if (hidden[w].rows() == hidden[0].rows() && full[w].rows() == hidden[0].rows()) continue;
    return absl::InvalidArgumentError(absl::StrCat("layer ", layer, ": calibration window ", w, " has ",
                                                   hidden[w].rows(), " tokens, window 0 has ", hidden[0].rows(),
                                                   "; expected equal lengths"));
  }
  return absl::OkStatus();
}

}  // namespace

BlockTrainer::Share::Share(const BlockTrainer& owner, ActivationGradient kind)
    : hook(owner.activations_, kind),
      pass(owner.layout_, owner.per_share_, owner.context_tokens_, &hook),
      x(owner.per_share_ * owner.context_tokens_ * owner.layout_.config.hidden_size),
      out(x.size()),
      gradient(owner.layout_.size) {}

absl::StatusOr<std::unique_ptr<BlockTrainer>> BlockTrainer::Create(const LayerContext& context,
                                                                   const LayerParams& params, int64_t batch,
                                                                   ActivationGradient gradient) {
  const ModelConfig& config = *context.config;
  const int layer = params.layer;
  EAQ_RETURN_IF_ERROR(Annotate(CheckTrainableLayer(config, layer), "learning with the passes of train/"));
  EAQ_RETURN_IF_ERROR(CheckWindows(context, layer));
  if (params.routing != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("layer ", layer,
                                                   " has pruned experts; expected none: the passes of ",
                                                   "train/ route to all. Use solve { gptq {} } or { nearest {} }"));
  }
  for (const auto& [id, linear] : params.linears) {
    if (linear.bias.empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(id.ToString(), " has a bias; expected none: the passes of train/ do not know biases"));
  }
  EAQ_ASSIGN_OR_RETURN(LayerActivations activations, LayerActivations::Create(context, params));
  batch = std::clamp<int64_t>(batch, 1, context.hidden.size());
  std::unique_ptr<BlockTrainer> trainer(
      new BlockTrainer(context, SingleLayerLayout(config, layer), std::move(activations), batch));
  trainer->layer_index_ = layer;
  trainer->offsets_ = LinearOffsets(trainer->layout_, layer);
  trainer->inputs_ = context.hidden;
  trainer->context_tokens_ = context.hidden[0].rows();
  trainer->flat_ = trainer->Flatten(params);
  const LinearId router{layer, Role::kRouter};
  if (config.IsMoe(layer) && context.router->weights().quantized()) {
    EAQ_ASSIGN_OR_RETURN(const SolvedLinear solved,
                         context.router->Solve(context, params, params.linears.at(router).weight.view()));
    const Matrix rounded = Dequantize(solved.weight);
    std::copy_n(rounded.data(), rounded.size(), &trainer->flat_[trainer->offsets_.at(router)]);
  }

  trainer->targets_.assign(context.full_hidden.begin(), context.full_hidden.end());
  EAQ_ASSIGN_OR_RETURN(const auto full, BuildLayer(config, params));
  context.pool->ParallelFor(trainer->targets_.size(), [&](int64_t w) { full->Forward(trainer->targets_[w].view()); });
  const int64_t shares = std::min(kShares, batch);
  trainer->per_share_ = (batch + shares - 1) / shares;
  for (int64_t s = 0; s < shares; ++s) trainer->shares_.push_back(std::make_unique<Share>(*trainer, gradient));
  return trainer;
}

std::vector<float> BlockTrainer::Flatten(const LayerParams& params) const { return FlattenLayer(layout_, params); }

absl::StatusOr<double> BlockTrainer::Loss(const std::vector<float>& flat, absl::Span<const int64_t> batch,
                                          std::vector<float>* gradient) {
  const int64_t count = batch.size(), size = context_tokens_ * layout_.config.hidden_size;
  const int64_t used = std::min<int64_t>(shares_.size(), count), per = (count + used - 1) / used;
  const double elements = static_cast<double>(count) * size;
  const float scale = static_cast<float>(2 / elements);
  context_.pool->ParallelFor(used, [&](int64_t i) {
    Share& s = *shares_[i];
    const int64_t first = std::min(i * per, count), windows = std::min(per, count - first);
    s.sum = 0;
    if (gradient != nullptr) std::fill(s.gradient.begin(), s.gradient.end(), 0.0f);
    if (windows == 0) return;
    for (int64_t w = 0; w < windows; ++w) std::copy_n(inputs_[batch[first + w]].data(), size, &s.x[w * size]);
    const int64_t n = windows * context_tokens_;
    s.pass.Forward(flat.data(), n, s.x.data(), s.out.data());
    for (int64_t w = 0; w < windows; ++w) {
      const float* target = targets_[batch[first + w]].data();
      float* out = &s.out[w * size];
      for (int64_t j = 0; j < size; ++j) {
        const float difference = out[j] - target[j];
        s.sum += static_cast<double>(difference) * difference;
        out[j] = scale * difference;
      }
    }
    if (gradient != nullptr) s.pass.Backward(flat.data(), n, s.x.data(), s.out.data(), s.gradient.data());
  });
  double sum = 0;
  for (int64_t i = 0; i < used; ++i) sum += shares_[i]->sum;
  if (!std::isfinite(sum)) {
    return absl::DataLossError(absl::StrCat("layer ", layer_index_, ": the error of the quantized layer is ", sum,
                                            "; expected a finite number: lower the learning rates, or look for NaN in "
                                            "the weights"));
  }
  if (gradient != nullptr) {
    gradient->resize(layout_.size);
    constexpr int64_t kPiece = 1 << 15;
    context_.pool->ParallelFor((layout_.size + kPiece - 1) / kPiece, [&](int64_t p) {
      const int64_t begin = p * kPiece, end = std::min(begin + kPiece, layout_.size);
      float* to = gradient->data();
      std::copy(shares_[0]->gradient.begin() + begin, shares_[0]->gradient.begin() + end, to + begin);
      for (int64_t s = 1; s < used; ++s) {
        const float* from = shares_[s]->gradient.data();
#pragma omp simd
        for (int64_t j = begin; j < end; ++j) to[j] += from[j];
      }
    });
  }
  return sum / elements;
}

absl::StatusOr<double> BlockTrainer::TotalLoss(const std::vector<float>& flat) {
  double sum = 0;
  for (int64_t begin = 0; begin < windows(); begin += batch_) {
    std::vector<int64_t> batch(std::min(batch_, windows() - begin));
    std::iota(batch.begin(), batch.end(), begin);
    EAQ_ASSIGN_OR_RETURN(const double loss, Loss(flat, batch, nullptr));
    sum += loss * static_cast<double>(batch.size());
  }
  return sum / static_cast<double>(windows());
}

absl::StatusOr<std::vector<LearnedLinear>> LearnedLinears(const BlockTrainer& trainer, const LayerParams& params,
                                                          const std::map<LinearId, GridSpec>& plan) {
  std::vector<LearnedLinear> learned;
  for (const auto& [id, spec] : plan) {
    const Matrix& w = params.linears.at(id).weight;
    auto grid = LearnedGrid<float>::Create(w.rows(), w.cols(), spec);
    EAQ_RETURN_IF_ERROR(Annotate(grid.status(), id.ToString()));
    learned.push_back({id, trainer.offsets().at(id), w.size(), *std::move(grid)});
  }
  return learned;
}

void AdamGroup::Step(absl::Span<float> p, absl::Span<const float> gradient, double rate) {
  ++step_;
  const float b1 = 0.9f, b2 = 0.999f;
  const float c1 = static_cast<float>(1 / (1 - std::pow(0.9, step_))),
              c2 = static_cast<float>(1 / (1 - std::pow(0.999, step_))), lr = static_cast<float>(rate);
  for (size_t i = 0; i < p.size(); ++i) {
    const float g = gradient[i];
    m_[i] = b1 * m_[i] + (1 - b1) * g;
    v_[i] = b2 * v_[i] + (1 - b2) * g * g;
    p[i] -= lr * (m_[i] * c1 / (std::sqrt(v_[i] * c2) + 1e-8f));
  }
}

}  // namespace eaq

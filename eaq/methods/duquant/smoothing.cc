#include "eaq/methods/duquant/smoothing.h"

#include <memory>
#include <utility>
#include <vector>

#include "eaq/quant/smoothing.h"

namespace eaq::duquant {
namespace {

constexpr float kFloor = 1e-2f;

struct Smoother {
  const LayerProfile& profile;
  double alpha;
  LayerParams& params;

  Matrix& Weight(const LinearId& id) const { return params.linears.at(id).weight; }

  // The scales of what READER reads, from the weights FROM.
  std::vector<float> Scales(const LinearId& reader, const std::vector<const Matrix*>& from) const {
    return SmoothingScales(profile.Of(reader).abs_max, ColumnAbsMax(from), alpha, kFloor);
  }

  void FoldNorm(const std::vector<float>& s, std::vector<float>& norm, const std::vector<LinearId>& readers) const {
    Divide(s, norm);
    for (const LinearId& id : readers) ScaleColumns(s, Weight(id));
  }

  // WRITER's rows make what READER reads. Nothing where no token came by.
  void FoldRows(const LinearId& writer, const LinearId& reader) const {
    if (profile.Of(reader).tokens == 0) return;
    const std::vector<float> s = Scales(reader, {&Weight(reader)});
    DivideRows(s, Weight(writer), params.linears.at(writer).bias);
    ScaleColumns(s, Weight(reader));
  }
};

bool ReadsPostNorm(Role role) {
  return role == Role::kRouter || role == Role::kGate || role == Role::kUp || role == Role::kSharedGate ||
         role == Role::kSharedUp || role == Role::kSharedExpertGate;
}

}  // namespace

void Smooth(const ModelConfig& config, const LayerProfile& profile, double alpha, bool smooth_mixture,
            LayerParams& params) {
  const int l = params.layer;
  const LinearId q{l, Role::kQ}, k{l, Role::kK}, v{l, Role::kV}, o{l, Role::kO};
  const Smoother smoother{profile, alpha, params};
  smoother.FoldNorm(smoother.Scales(q, {&smoother.Weight(q)}), params.input_norm, {q, k, v});
  // clip_qkv clamps values after projection, which does not commute with scaling them.
  if (smoother.Weight(v).rows() == smoother.Weight(o).cols() && !config.clip_qkv) {
    smoother.FoldRows(v, o);
  } else {
    OnlineTransform divide;
    divide.steps.push_back(OnlineStep::Divide(smoother.Scales(o, {&smoother.Weight(o)})));
    divide.FoldIntoWeight(smoother.Weight(o).view());
    params.linears.at(o).online = std::make_shared<const OnlineTransform>(std::move(divide));
  }
  std::vector<LinearId> readers;
  std::vector<const Matrix*> weights;
  for (auto& [id, linear] : params.linears) {
    if (!ReadsPostNorm(id.role)) continue;
    readers.push_back(id);
    weights.push_back(&linear.weight);
  }
  if (!config.IsMoe(l)) {
    const LinearId up{l, Role::kUp}, down{l, Role::kDown};
    smoother.FoldNorm(smoother.Scales(up, {&smoother.Weight(up)}), params.post_norm, readers);
    smoother.FoldRows(up, down);
    return;
  }
  if (!smooth_mixture) return;
  smoother.FoldNorm(smoother.Scales({l, Role::kRouter}, weights), params.post_norm, readers);
  for (int e = 0; e < config.num_experts; ++e) smoother.FoldRows({l, Role::kUp, e}, {l, Role::kDown, e});
  if (config.shared_width > 0) smoother.FoldRows({l, Role::kSharedUp}, {l, Role::kSharedDown});
}

}  // namespace eaq::duquant

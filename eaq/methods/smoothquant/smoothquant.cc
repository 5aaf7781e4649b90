// Slot 2: SmoothQuant in its MoE form. README.md has the equations.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/plain_input.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

constexpr float kFloor = 1e-5f;

class Smooth : public TransformSlot {
 public:
  explicit Smooth(double alpha) : alpha_(alpha) {}

  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    const LayerProfile& profile = *context.profile;
    // The linears of the layer by the one that stands for their common input.
    std::map<LinearId, std::vector<Matrix*>> readers;
    for (auto& [id, linear] : params.linears) readers[LayerProfile::InputOwner(id)].push_back(&linear.weight);
    const LinearId attention{params.layer, Role::kQ}, router{params.layer, Role::kRouter},
        dense{params.layer, Role::kGate};
    for (const auto& [id, linear] : params.linears) {
      const Role role = LayerProfile::InputOwner(id).role;
      if (role == Role::kO || role == Role::kDown || role == Role::kSharedDown) continue;  // they read no norm
      EAQ_RETURN_IF_ERROR(RequirePlainInput(params, id, "smoothquant", "expected it before that transform"));
    }
    Smoothed(profile.Of(attention).abs_max, params.input_norm, readers.at(attention));
    if (readers.count(router) == 0) {
      Smoothed(profile.Of(dense).abs_max, params.post_norm, readers.at(dense));
      return absl::OkStatus();
    }
    // A mixture: what the router reads, all experts read, shared ones too.
    std::vector<Matrix*> mixture = readers.at(router);
    for (auto& [id, weights] : readers) {
      if (id.role == Role::kGate || id.role == Role::kSharedGate)
        mixture.insert(mixture.end(), weights.begin(), weights.end());
    }
    Smoothed(profile.Of(router).abs_max, params.post_norm, mixture);
    return absl::OkStatus();
  }

 private:
  // NORM[n] feeds every column of WEIGHTS, each [*, n].
  void Smoothed(const std::vector<float>& abs_max, std::vector<float>& norm,
                const std::vector<Matrix*>& weights) const {
    for (size_t j = 0; j < norm.size(); ++j) {
      if (abs_max[j] == 0) continue;
      float largest = kFloor;
      for (const Matrix* w : weights) {
        for (int64_t r = 0; r < w->rows(); ++r) largest = std::max(largest, std::fabs((*w)(r, j)));
      }
      const double exact = std::pow(abs_max[j], alpha_) / std::pow(largest, 1 - alpha_);
      const float s = std::max(static_cast<float>(exact), kFloor);
      norm[j] /= s;
      for (Matrix* w : weights) {
        for (int64_t r = 0; r < w->rows(); ++r) (*w)(r, j) *= s;
      }
    }
  }

  const double alpha_;
};

EAQ_REGISTER_STAGE(TransformSlot, SmoothQuant,
                   [](const SmoothQuant& options) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
                     if (!(options.alpha() >= 0 && options.alpha() <= 1)) {
                       return absl::InvalidArgumentError(
                           absl::StrCat("smoothquant.alpha is ", options.alpha(), ", expected 0 .. 1"));
                     }
                     return std::make_unique<Smooth>(options.alpha());
                   });

}  // namespace
}  // namespace eaq

// Slot 2: DuQuant. README.md has the equations, and what the released code does differently.
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/duquant/rotation.h"
#include "eaq/methods/duquant/samples.h"
#include "eaq/methods/duquant/smoothing.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/plain_input.h"
#include "eaq/recipe/stage.h"

namespace eaq::duquant {
namespace {

class Transform : public TransformSlot {
 public:
  Transform(const DuQuant& options, const SampleOptions& samples) : options_(options), samples_(samples) {}
  bool needs_hidden() const override { return true; }
  bool runs_other_slots() const override { return false; }

  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    if (options_.smooth()) {
      EAQ_RETURN_IF_ERROR(RequirePlainInputs(params, "duquant { smooth: true }",
                                             "expected it before that transform, or smooth: false"));
      Smooth(*context.config, *context.profile, options_.alpha(), options_.moe_smoothing() == DuQuant::SMOOTHQUANT,
             params);
    }
    EAQ_ASSIGN_OR_RETURN(const auto samples, LayerSamples(context, params, samples_));
    std::vector<LinearId> owners;
    for (const auto& [id, rows] : samples) {
      if (Rotated(context, id)) owners.push_back(id);
    }
    std::vector<OnlineTransform> found(owners.size());
    context.pool->ParallelFor(owners.size(), [&](int64_t i) {
      found[i] = Find(samples.at(owners[i]), absl::StrCat("duquant/", owners[i].ToString()), context.seed);
    });
    std::map<LinearId, const OnlineTransform*> by_owner;
    for (size_t i = 0; i < owners.size(); ++i) {
      if (!found[i].steps.empty()) by_owner[owners[i]] = &found[i];
    }
    Attach(by_owner, *context.pool, params);
    return RotateQueriesAndKeys(context, params);
  }

 private:
  // A rotation is worth its run-time work where something is quantized.
  static bool Rotated(const LayerContext& context, const LinearId& id) {
    if (id.role == Role::kRouter) {
      return context.router->weights().quantized() || context.router->activations().quantized();
    }
    return context.scheme->Covers(id);
  }

  // R1, then as often as asked a permutation and another rotation. No steps where the width has no blocks.
  OnlineTransform Find(Matrix x, const std::string& stream, uint64_t seed) const {
    const RotationOptions rotation{.block = BlockFor(x.cols(), options_.block_size()),
                                   .steps = options_.max_rotation_steps(),
                                   .pick = options_.pick() == DuQuant::ROW ? Pick::kRow : Pick::kChannel};
    OnlineTransform transform;
    if (rotation.block == 1) return transform;
    for (int i = 0; i <= options_.permutations(); ++i) {
      if (i > 0) {
        OnlineStep permute = OnlineStep::Permute(ZigzagOrder(x, rotation.block));
        OnlineTransform{{permute}}.ApplyToInput(x.view());
        transform.steps.push_back(std::move(permute));
      }
      Rng rng(seed, absl::StrCat(stream, "/", i + 1));
      OnlineStep rotate = OnlineStep::Rotate(FindRotation(x, rotation, rng).rotation);
      RotateBlocks(rotate.rotation, x);
      transform.steps.push_back(std::move(rotate));
    }
    return transform;
  }

  // Gives every reader of an owner's input the owner's transform, after the one it has, and folds it into the weight.
  static void Attach(const std::map<LinearId, const OnlineTransform*>& by_owner, ThreadPool& pool,
                     LayerParams& params) {
    std::vector<std::pair<LinearParams*, const OnlineTransform*>> readers;
    std::map<std::pair<const OnlineTransform*, const OnlineTransform*>, std::shared_ptr<const OnlineTransform>> joined;
    for (auto& [id, linear] : params.linears) {
      const auto it = by_owner.find(LayerProfile::InputOwner(id));
      if (it == by_owner.end()) continue;
      readers.emplace_back(&linear, it->second);
      auto& shared = joined[{linear.online.get(), it->second}];
      if (shared == nullptr) {
        OnlineTransform all = linear.online == nullptr ? OnlineTransform() : *linear.online;
        all.steps.insert(all.steps.end(), it->second->steps.begin(), it->second->steps.end());
        shared = std::make_shared<const OnlineTransform>(std::move(all));
      }
      linear.online = shared;
    }
    pool.ParallelFor(readers.size(),
                     [&](int64_t i) { readers[i].second->FoldIntoWeight(readers[i].first->weight.view()); });
  }

  absl::Status RotateQueriesAndKeys(const LayerContext& context, LayerParams& params) const {
    if (options_.qk_hadamard() < 0 || !context.scheme->operands.quantized() || params.qk_hadamard != 0) {
      return absl::OkStatus();
    }
    const int64_t head = context.config->head_dim, asked = options_.qk_hadamard();
    const int64_t block = asked > 0 ? asked : BlockFor(head, head);
    if (head % block != 0) {
      return absl::InvalidArgumentError(absl::StrCat("duquant.qk_hadamard is ", block, ", which does not divide the ",
                                                     head, " channels of a head; use 0 for the largest that does"));
    }
    params.qk_hadamard = block;
    return absl::OkStatus();
  }

  const DuQuant options_;
  const SampleOptions samples_;
};

absl::Status Check(bool good, const std::string& field, const std::string& found, const std::string& expected) {
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("duquant.", field, " is ", found, ", expected ", expected));
}

bool PowerOfTwo(int64_t n) { return n >= 1 && (n & (n - 1)) == 0; }

EAQ_REGISTER_STAGE(TransformSlot, DuQuant, [](const DuQuant& o) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
  EAQ_RETURN_IF_ERROR(Check(o.alpha() >= 0 && o.alpha() <= 1, "alpha", absl::StrCat(o.alpha()), "0 .. 1"));
  EAQ_RETURN_IF_ERROR(Check(PowerOfTwo(o.block_size()) && o.block_size() >= 2 && o.block_size() <= 4096, "block_size",
                            absl::StrCat(o.block_size()), "a power of two, 2 .. 4096"));
  EAQ_RETURN_IF_ERROR(Check(o.max_rotation_steps() >= 1 && o.max_rotation_steps() <= 65536, "max_rotation_steps",
                            absl::StrCat(o.max_rotation_steps()), "1 .. 65536"));
  EAQ_RETURN_IF_ERROR(Check(o.permutations() >= 0 && o.permutations() <= 16, "permutations",
                            absl::StrCat(o.permutations()), "0 .. 16"));
  EAQ_RETURN_IF_ERROR(Check(o.expert_token_ratio() >= 0 && o.expert_token_ratio() <= 1e6, "expert_token_ratio",
                            absl::StrCat(o.expert_token_ratio()), "0 .. 1e6"));
  EAQ_RETURN_IF_ERROR(Check(o.qk_hadamard() >= -1 && (o.qk_hadamard() <= 0 || PowerOfTwo(o.qk_hadamard())),
                            "qk_hadamard", absl::StrCat(o.qk_hadamard()), "-1, 0 or a power of two"));
  SampleOptions samples;
  EAQ_ASSIGN_OR_RETURN(samples.sample, SampleFromProto(o.sample()));
  samples.expert_token_ratio = o.expert_token_ratio();
  samples.balance_on_outputs = o.balance_source() == DuQuant::LAYER_OUTPUT;
  return std::make_unique<Transform>(o, samples);
});

}  // namespace
}  // namespace eaq::duquant

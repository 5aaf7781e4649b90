#include "eaq/methods/block_training/testing.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/quant/fake_quant.h"

namespace eaq {
namespace {

RecipeSlots Slots(const std::string& text) {
  Recipe recipe;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &recipe)) << text;
  if (!recipe.has_calibration()) recipe.mutable_calibration()->mutable_random();
  if (!recipe.has_allocate()) recipe.mutable_allocate()->mutable_uniform();
  if (!recipe.has_solve()) recipe.mutable_solve()->mutable_nearest();
  if (!recipe.has_router()) recipe.mutable_router()->mutable_keep();
  if (!recipe.has_activation()) recipe.mutable_activation()->mutable_dynamic();
  auto slots = RecipeSlots::Make(recipe);
  EXPECT_TRUE(slots.ok()) << slots.status();
  return *std::move(slots);
}

}  // namespace

LayerFixture::LayerFixture(const ModelConfig& c, int layer, const std::string& recipe, const std::string& scheme_text,
                           int windows, int threads)
    : config(c), slots(Slots(recipe)), params(RandomLayer(c, layer, 3)), pool(std::make_unique<ThreadPool>(threads)) {
  Scheme proto;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(scheme_text, &proto)) << scheme_text;
  scheme = *LayerScheme::FromProto(proto);
  Rng rng(5, "layer fixture");
  for (int w = 0; w < windows; ++w) {
    Matrix full(24, config.hidden_size), propagated = full;
    for (int64_t i = 0; i < full.size(); ++i) {
      full.data()[i] = static_cast<float>(rng.Normal() * (i % config.hidden_size == 3 ? 8 : 1));
      propagated.data()[i] = full.data()[i] + static_cast<float>(0.02 * rng.Normal());
    }
    full_hidden.push_back(std::move(full));
    hidden.push_back(std::move(propagated));
  }
  Profile();
}

void LayerFixture::Profile() {
  const auto layer = *BuildLayer(config, params);
  profile = *ProfileLayer(*layer, hidden, ProfileOptions{}, *pool);
}

LayerContext LayerFixture::Context() const {
  LayerContext context;
  context.config = &config, context.scheme = &scheme, context.profile = &profile;
  context.hidden = hidden, context.full_hidden = full_hidden;
  context.router = slots.router.get(), context.activation = slots.activation.get();
  context.pool = pool.get(), context.seed = 11;
  return context;
}

std::map<LinearId, GridSpec> LayerFixture::Plan() const {
  BitPlan uniform;
  for (const auto& [id, linear] : params.linears) uniform.emplace(id, scheme.weights);
  auto plan = *PlanLayer(params, uniform, slots, scheme);
  plan.erase({params.layer, Role::kRouter});
  return plan;
}

SolvedLinears LayerFixture::Nearest() const {
  SolvedLinears solved;
  for (const auto& [id, grid] : Plan()) solved[id].weight = *QuantizeNearest(params.linears.at(id).weight.view(), grid);
  return solved;
}

double LayerFixture::RuntimeError(const SolvedLinears& solved) const {
  SolvedLinears all = solved;
  const LinearId router{params.layer, Role::kRouter};
  if (config.IsMoe(params.layer) && slots.router->weights().quantized())
    all[router] = *slots.router->Solve(Context(), params, params.linears.at(router).weight.view());
  const auto quantized = AssembleLayer(config, params, profile, all, slots, scheme, *pool);
  EXPECT_TRUE(quantized.ok()) << quantized.status();
  const auto full = *BuildLayer(config, params);
  double sum = 0;
  int64_t count = 0;
  for (size_t w = 0; w < hidden.size(); ++w) {
    Matrix a = hidden[w], b = full_hidden[w];
    quantized->layer->Forward(a.view());
    full->Forward(b.view());
    for (int64_t i = 0; i < a.size(); ++i, ++count) {
      const double d = double{a.data()[i]} - b.data()[i];
      sum += d * d;
    }
  }
  return sum / count;
}

std::vector<TestFamily> TestFamilies() {
  ModelConfig olmoe = TinyConfig();
  ModelConfig mixtral = olmoe;
  mixtral.num_kv_heads = 2, mixtral.qk_norm = QkNorm::kNone, mixtral.norm_topk_prob = true;
  ModelConfig deepseek = olmoe;
  deepseek.qk_norm = QkNorm::kNone, deepseek.dense_layers = {0}, deepseek.dense_width = 40;
  deepseek.shared_width = 16, deepseek.shared_expert_gated = false;
  return {{"olmoe", 1, olmoe}, {"mixtral", 0, mixtral}, {"deepseek_dense", 0, deepseek}, {"deepseek", 1, deepseek}};
}

}  // namespace eaq

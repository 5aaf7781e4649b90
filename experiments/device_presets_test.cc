// Every preset of eaq/methods, as it quantizes a small model, on the device of this program (emulated; a GPU under
// --config=gpu) against the CPU: each layer agrees but for counted ties.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/status_matchers.h"
#include "eaq/device/device_runner.h"
#include "eaq/device/testing.h"
#include "eaq/model/synthetic.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/walk_testing.h"

namespace eaq {
namespace {

constexpr const char* kFolder = "eaq/methods";

std::vector<std::string> Presets() {
  std::vector<std::string> presets;
  const auto names = ListDirectory(kFolder);
  for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
    if (FileExists(absl::StrCat(kFolder, "/", name, "/preset.textproto"))) presets.push_back(name);
  }
  return presets;
}

// Few steps of what learns, since only the kinds of layers matter here.
Recipe Preset(const std::string& name) {
  Recipe recipe;
  const auto text = ReadFile(absl::StrCat(kFolder, "/", name, "/preset.textproto"));
  EXPECT_THAT(text.status(), IsOk());
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(*text, &recipe)) << name;
  for (auto& transform : *recipe.mutable_transform()) {
    if (transform.has_duquant()) transform.mutable_duquant()->set_max_rotation_steps(8);
    if (transform.has_omniquant_let()) transform.mutable_omniquant_let()->set_epochs(1);
  }
  if (recipe.solve().has_signround()) recipe.mutable_solve()->mutable_signround()->set_iterations(5);
  if (recipe.solve().has_omniquant()) recipe.mutable_solve()->mutable_omniquant()->set_epochs(1);
  return recipe;
}

struct Outcome {
  absl::Status status;  // of images and launches
  LayerAgreement all;
  int transformed = 0, by_expert = 0, summed = 0;  // products of these kinds
  int pruned = 0, dropping = 0;                    // experts that are gone; layers whose tokens drop experts
};

void Count(const LayerPlan& plan, int64_t experts, Outcome& outcome) {
  std::vector<const Product*> products = {
      &plan.q, &plan.k, &plan.v, &plan.o, &*plan.router, &plan.experts.gate, &plan.experts.down};
  if (plan.experts.up) products.push_back(&*plan.experts.up);
  for (const Product* product : products) {
    outcome.transformed += !product->input.steps.empty() || product->input.divisors >= 0;
    outcome.by_expert += product->input.by_expert;
    outcome.summed += product->weights.size() > 1;
  }
  outcome.dropping += plan.drop.has_value();
  if (!plan.kept.empty()) outcome.pruned += static_cast<int>(experts - static_cast<int64_t>(plan.kept.size()));
}

absl::StatusOr<Outcome> Compare(const Recipe& recipe, const Scheme& scheme) {
  const ModelConfig config = SmallConfig();
  EAQ_ASSIGN_OR_RETURN(const auto source, WrapModel(recipe, RandomModel(config, 1)));
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source->LoadOuter());
  const ModelEnds ends(config, std::move(outer));
  Rng rng(6, "device_presets_test");
  std::vector<CalibrationWindow> calibration(recipe.calibration().has_none() ? 0 : 4);
  for (size_t w = 0; w < calibration.size(); ++w) {
    CalibrationWindow& window = calibration[w];
    window.domain = w % 2 == 0 ? "first" : "second";
    for (int t = 0; t < 32; ++t) window.window.ids.push_back(static_cast<int32_t>(rng.Below(config.vocab_size)));
  }
  Matrix hidden(14, config.hidden_size);
  for (int64_t i = 0; i < hidden.size(); ++i) hidden.data()[i] = static_cast<float>(rng.Normal());
  DeviceRunner::Options options;
  options.observe_inputs = true;
  EAQ_ASSIGN_OR_RETURN(const auto runner, DeviceRunner::Create(kernels::LinkedDevice(), config, options));
  WalkTools tools(1);
  PipelineInputs in = tools.Inputs(*source, ends, recipe, scheme, calibration);
  in.seed = 3;
  Outcome outcome;
  const auto on_device = [&](const FinishedLayer& layer) -> absl::Status {
    const auto codes = [&](const LinearId& id) -> const QuantizedMatrix* {
      const auto at = layer.solved->find(id);
      return at == layer.solved->end() ? nullptr : &at->second.weight;
    };
    EAQ_ASSIGN_OR_RETURN(const LayerImage image, MakeLayerImage(*layer.quantized, codes));
    EAQ_ASSIGN_OR_RETURN(const LayerAgreement one,
                         CompareLayer(*layer.quantized, image, hidden.const_view(), {9, 5}, *runner));
    Count(image.plan, config.num_experts, outcome);
    LayerAgreement& all = outcome.all;
    all.rows += one.rows;
    all.unaffected += one.unaffected;
    all.worst = std::max(all.worst, one.worst);
    all.ties += one.ties;
    all.choice_ties += one.choice_ties;
    for (const std::string& what : one.unexplained) all.unexplained.push_back(what);
    return absl::OkStatus();
  };
  EAQ_RETURN_IF_ERROR(QuantizeModel(in, [&](const FinishedLayer& layer) {
                        if (outcome.status.ok()) outcome.status = on_device(layer);
                        return absl::OkStatus();
                      }).status());
  return outcome;
}

// Whether the preset leaves something to be done at run time.
bool Transforms(const std::string& name) {
  static const auto* const names =
      new std::set<std::string>{"duquant",     "eaquant",    "eaquant_released_2025", "eaquant_released_2026",
                                "quarot_gptq", "quarot_rtn", "quarot_signround",      "fitted_gptq"};
  return names->count(name) > 0;
}

class DevicePresetsTest : public testing::TestWithParam<std::string> {};

TEST_P(DevicePresetsTest, EveryLayerIsTheCpus) {
  const std::string& name = GetParam();
  const Recipe recipe = Preset(name);
  std::vector<std::string> schemes = {
      "weights { bits: 4 } activations { bits: 4 } attention_operands { bits: 4 }",
      "weights { bits: 3 granularity: GROUP group_size: 32 }",
  };
  if (name == "slim_llm") {
    schemes = {"weights { bits: 3 granularity: GROUP group_size: 16 }",
               "weights { bits: 3 granularity: GROUP group_size: 32 } activations { bits: 8 }"};
  }
  if (name == "block_gemq_signround") {
    for (std::string& scheme : schemes)
      absl::StrAppend(&scheme, " budget { stored_bits_per_weight: 3.5 scope: EXPERTS }");
  }
  for (const std::string& text : schemes) {
    SCOPED_TRACE(text);
    Scheme scheme;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &scheme));
    EAQ_ASSERT_OK_AND_ASSIGN(const Outcome outcome, Compare(recipe, scheme));
    ASSERT_THAT(outcome.status, IsOk());
    const LayerAgreement& all = outcome.all;
    for (const std::string& what : all.unexplained) ADD_FAILURE() << what;
    EXPECT_LE(all.worst, kLayerNoise);
    EXPECT_EQ(all.rows, 28);
    EXPECT_GE(2 * all.unaffected, all.rows) << all.ties << " ties, " << all.choice_ties << " of choices";
    printf(
        "%-22s %lld of %lld rows free of ties, these within %.1e; products with transforms %d, by expert %d, "
        "sums of planes %d; experts gone %d, layers that drop %d\n",
        name.c_str(), static_cast<long long>(all.unaffected), static_cast<long long>(all.rows), all.worst,
        outcome.transformed, outcome.by_expert, outcome.summed, outcome.pruned, outcome.dropping);
    EXPECT_GE(outcome.transformed, Transforms(name) ? 1 : 0);
    EXPECT_GE(outcome.pruned, name == "seer_moe" ? 1 : 0);
    EXPECT_GE(outcome.dropping, name == "mc" ? 1 : 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, DevicePresetsTest, testing::ValuesIn(Presets()),
                         [](const auto& info) { return info.param; });

TEST(DevicePresetsTest, AllPresetsAreLookedAt) { EXPECT_GE(Presets().size(), 30u); }

}  // namespace
}  // namespace eaq

// The presets of DuQuant and EAQuant through the whole pipeline, on mixtures, dense layers, shared experts and grouped
// queries: the function stays as long as nothing is rounded, and rounding is the same for any number of threads.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/walk_testing.h"

namespace eaq {
namespace {

constexpr const char* kPresets[] = {"duquant", "eaquant", "eaquant_released_2025", "eaquant_released_2026"};

std::vector<ModelConfig> Configs() {
  std::vector<ModelConfig> configs(4, TinyConfig());
  configs[1].shared_width = 16;
  configs[1].dense_layers = {0};  // DeepSeek-MoE's form
  configs[1].dense_width = 40;
  configs[2].num_kv_heads = 2;  // Mixtral's
  configs[3].num_experts = 0;
  configs[3].dense_width = 48;
  return configs;
}

// Few steps, since only the code paths matter here.
Recipe Preset(const std::string& name) {
  Recipe recipe;
  const auto text = ReadFile(absl::StrCat("eaq/methods/", name, "/preset.textproto"));
  EXPECT_THAT(text.status(), IsOk());
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(*text, &recipe)) << name;
  EXPECT_EQ(recipe.name(), name);
  for (auto& transform : *recipe.mutable_transform()) {
    if (transform.has_duquant()) transform.mutable_duquant()->set_max_rotation_steps(6);
  }
  return recipe;
}

struct Walk {
  PipelineReport report;
  Matrix probe;  // made-up hidden states through the finished layers
};

absl::StatusOr<Walk> WalkThrough(const ModelConfig& config, const Recipe& recipe, const Scheme& scheme, int threads,
                                 bool untouched = false) {
  const auto source = RandomModel(config, 1);
  const ModelEnds ends(config, *source->LoadOuter());
  std::vector<CalibrationWindow> calibration(4);
  Rng rng(6, "presets_test");
  for (CalibrationWindow& window : calibration)
    for (int t = 0; t < 32; ++t) window.window.ids.push_back(static_cast<int32_t>(rng.Below(96)));
  WalkTools tools(threads);
  PipelineInputs in = tools.Inputs(*source, ends, recipe, scheme, calibration);
  in.seed = 3;
  Walk walk;
  walk.probe = Matrix(20, config.hidden_size);
  for (int64_t i = 0; i < walk.probe.size(); ++i) walk.probe.data()[i] = static_cast<float>(std::sin(double(i)));
  auto report = QuantizeModel(in, [&](const FinishedLayer& layer) {
    if (untouched) {
      (*BuildLayer(config, *source->LoadLayer(layer.index)))->Forward(walk.probe.view());
    } else {
      layer.quantized->Forward(walk.probe.view());
    }
    return absl::OkStatus();
  });
  if (!report.ok()) return report.status();
  walk.report = *std::move(report);
  return walk;
}

double Difference(const Matrix& a, const Matrix& b) {
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    if (!(std::fabs(a.data()[i]) < 1e6) || !(std::fabs(b.data()[i]) < 1e6)) return 1e9;  // NaN too
    largest = std::max(largest, std::fabs(double{a.data()[i]}));
    difference = std::max(difference, std::fabs(double{a.data()[i]} - b.data()[i]));
  }
  return difference / largest;
}

TEST(Presets, KeepTheFunctionUntilSomethingIsRounded) {
  Scheme scheme;  // 16 bits
  for (const ModelConfig& config : Configs()) {
    for (const char* name : kPresets) {
      Recipe recipe = Preset(name);
      recipe.mutable_router()->mutable_keep();
      EAQ_ASSERT_OK_AND_ASSIGN(const Walk made, WalkThrough(config, recipe, scheme, 1));
      EAQ_ASSERT_OK_AND_ASSIGN(const Walk original, WalkThrough(config, recipe, scheme, 1, /*untouched=*/true));
      EXPECT_LT(Difference(original.probe, made.probe), 1e-4) << name;
      int online = 0;
      for (const LinearReport& linear : made.report.linears) online += !linear.online().empty();
      EXPECT_GT(online, 0) << name;
    }
  }
}

TEST(Presets, RoundTheSameWithAnyNumberOfThreads) {
  Scheme scheme;
  scheme.mutable_weights()->set_bits(6);
  scheme.mutable_activations()->set_bits(8);
  scheme.mutable_attention_operands()->set_bits(8);
  for (const ModelConfig& config : Configs()) {
    for (const char* name : kPresets) {
      const Recipe recipe = Preset(name);
      EAQ_ASSERT_OK_AND_ASSIGN(const Walk one, WalkThrough(config, recipe, scheme, 1));
      EAQ_ASSERT_OK_AND_ASSIGN(const Walk three, WalkThrough(config, recipe, scheme, 3));
      EXPECT_EQ(one.probe, three.probe) << name;
      EAQ_ASSERT_OK_AND_ASSIGN(const Walk original, WalkThrough(config, recipe, scheme, 1, /*untouched=*/true));
      EXPECT_GT(Difference(original.probe, one.probe), 1e-4) << name;
      EXPECT_LT(Difference(original.probe, one.probe), 0.5) << name;
    }
  }
}

}  // namespace
}  // namespace eaq

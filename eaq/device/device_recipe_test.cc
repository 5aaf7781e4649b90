// Recipes that quantize a small model on the device of this program (emulated; a GPU under --config=gpu) against the
// same recipes on the CPU.
#include <google/protobuf/text_format.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/status_matchers.h"
#include "eaq/device/device_ops.h"
#include "eaq/device/testing.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/walk_testing.h"
#include "kernels/device/open.h"
#include "kernels/emulation/counters.h"

namespace eaq {
namespace {

struct Quantized {
  std::vector<std::map<LinearId, QuantizedMatrix>> solved;  // by layer
  std::vector<LayerParams> params;                          // what was rounded
  PipelineReport report;
};

absl::StatusOr<Quantized> Quantize(const Recipe& recipe, const std::string& scheme_text, const QuantizeOps& ops) {
  ModelConfig config = TinyConfig();
  config.head_dim = 32;  // that a device has
  EAQ_ASSIGN_OR_RETURN(const auto source, WrapModel(recipe, RandomModel(config, 1)));
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source->LoadOuter());
  const ModelEnds ends(config, std::move(outer));
  Rng rng(6, "device_recipe_test");
  std::vector<CalibrationWindow> calibration(recipe.calibration().has_none() ? 0 : 4);
  for (size_t w = 0; w < calibration.size(); ++w) {
    CalibrationWindow& window = calibration[w];
    window.domain = w % 2 == 0 ? "first" : "second";
    for (int t = 0; t < 24; ++t) window.window.ids.push_back(static_cast<int32_t>(rng.Below(config.vocab_size)));
  }
  Scheme scheme;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(scheme_text, &scheme)) << scheme_text;
  WalkTools tools(2);
  PipelineInputs in = tools.Inputs(*source, ends, recipe, scheme, calibration);
  in.seed = 3;
  in.ops = &ops;
  Quantized result;
  EAQ_ASSIGN_OR_RETURN(result.report, QuantizeModel(in, [&](const FinishedLayer& layer) {
                         result.params.push_back(*layer.params);
                         result.solved.emplace_back();
                         for (const auto& [id, linear] : *layer.solved) result.solved.back()[id] = linear.weight;
                         return absl::OkStatus();
                       }));
  return result;
}

// With fewer candidates, since only the kinds of searches matter here.
Recipe Preset(const std::string& name) {
  Recipe recipe;
  const auto text = ReadFile(absl::StrCat("eaq/methods/", name, "/preset.textproto"));
  EXPECT_THAT(text.status(), IsOk());
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(*text, &recipe)) << name;
  for (auto& transform : *recipe.mutable_transform()) {
    if (transform.has_duquant()) transform.mutable_duquant()->set_max_rotation_steps(8);
    if (transform.has_awq()) transform.mutable_awq()->set_steps(5);
  }
  if (recipe.solve().has_awq_clip()) recipe.mutable_solve()->mutable_awq_clip()->set_steps(4);
  if (recipe.solve().gptq().has_clip()) recipe.mutable_solve()->mutable_gptq()->mutable_clip()->set_steps(20);
  return recipe;
}

class DeviceRecipeTest : public testing::Test {
 protected:
  void SetUp() override {
    EAQ_ASSERT_OK_AND_ASSIGN(backend_, CheckedBackend());
    ops_ = DeviceOps(*backend_);
    kernels::emulation::ResetCounters();
  }
  // At least so many since the last call; on a GPU nobody counts.
  static void ExpectLaunches(uint64_t least) {
    if (kernels::LinkedDevice() != kernels::BackendKind::kEmulation) return;
    EXPECT_GE(kernels::emulation::ReadCounters().launches, least);
    kernels::emulation::ResetCounters();
  }
  static size_t Solved(const Quantized& quantized) {
    size_t count = 0;
    for (const auto& layer : quantized.solved) count += layer.size();
    return count;
  }

  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<QuantizeOps> ops_;
};

// What the two rounded is the same: grids but for ties, codes but for at most PERCENT of them.
void ExpectAlike(const Quantized& cpu, const Quantized& device, const GridRange& range, double percent) {
  GridAgreement all;
  int64_t codes = 0, differ = 0;
  ASSERT_EQ(cpu.solved.size(), device.solved.size());
  for (size_t l = 0; l < cpu.solved.size(); ++l) {
    for (const auto& [id, q] : cpu.solved[l]) {
      const QuantizedMatrix& other = device.solved[l].at(id);
      const GridRange of_linear = id.role == Role::kRouter ? GridRange() : range;
      const GridAgreement one = CompareGrids(cpu.params[l].linears.at(id).weight.view(), q, other, of_linear);
      all.grids += one.grids;
      all.ties += one.ties;
      for (const std::string& what : one.unexplained) ADD_FAILURE() << id.ToString() << ": " << what;
      codes += static_cast<int64_t>(q.codes.size());
      for (size_t i = 0; i < q.codes.size(); ++i) differ += q.codes[i] != other.codes[i];
    }
  }
  printf("%lld grids, %lld at ties; %lld of %lld codes differ\n", static_cast<long long>(all.grids),
         static_cast<long long>(all.ties), static_cast<long long>(differ), static_cast<long long>(codes));
  EXPECT_LE(100 * all.ties, all.grids);
  EXPECT_LE(100.0 * static_cast<double>(differ), percent * static_cast<double>(codes));
  EXPECT_GT(codes, 40000);
}

constexpr char kFourBits[] = "weights { bits: 4 } activations { bits: 4 }";
constexpr char kGroups[] = "weights { bits: 3 granularity: GROUP group_size: 16 }";

TEST_F(DeviceRecipeTest, RtnWithClipSearch) {
  Recipe recipe = Preset("rtn_clip");
  recipe.mutable_solve()->mutable_nearest()->mutable_clip()->set_steps(40);
  for (const char* scheme : {kFourBits, kGroups}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const Quantized cpu, Quantize(recipe, scheme, CpuOps()));
    EAQ_ASSERT_OK_AND_ASSIGN(const Quantized device, Quantize(recipe, scheme, *ops_));
    ExpectAlike(cpu, device, {.clip = ClipSearchSpec{.steps = 40}}, 0.5);
    ExpectLaunches(2 * Solved(cpu));
    for (const LinearReport& linear : device.report.linears) EXPECT_EQ(linear.note(), "") << linear.id();
  }
}

TEST_F(DeviceRecipeTest, GptqWithClipSearch) {
  Recipe recipe = Preset("gptq");
  recipe.mutable_solve()->mutable_gptq()->mutable_clip()->set_steps(40);
  recipe.mutable_solve()->mutable_gptq()->set_static_groups(true);
  for (const char* scheme : {kFourBits, kGroups}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const Quantized cpu, Quantize(recipe, scheme, CpuOps()));
    EAQ_ASSERT_OK_AND_ASSIGN(const Quantized device, Quantize(recipe, scheme, *ops_));
    // Second moments are the CPU's to float32's noise; a code at a tie takes the rest of its row with it.
    ExpectAlike(cpu, device, {.clip = ClipSearchSpec{.steps = 40}}, 3);
  }
}

// Whole recipes, calibration and searches: the device's sums in another order find what the CPU finds, or as good.
class DeviceSearchTest : public DeviceRecipeTest, public testing::WithParamInterface<std::string> {};

TEST_P(DeviceSearchTest, IsAsGoodAsTheCpus) {
  const Recipe recipe = Preset(GetParam());
  const std::string scheme =
      GetParam() == "slim_llm" ? "weights { bits: 3 granularity: GROUP group_size: 8 }" : kFourBits;
  EAQ_ASSERT_OK_AND_ASSIGN(const Quantized cpu, Quantize(recipe, scheme, CpuOps()));
  EAQ_ASSERT_OK_AND_ASSIGN(const Quantized device, Quantize(recipe, scheme, *ops_));
  ExpectLaunches(2 * Solved(cpu));
  ASSERT_EQ(cpu.report.linears.size(), device.report.linears.size());
  int64_t alike = 0;
  double on_cpu = 0, on_device = 0;
  for (size_t i = 0; i < cpu.report.linears.size(); ++i) {
    const LinearReport &a = cpu.report.linears[i], &b = device.report.linears[i];
    alike += std::fabs(a.weight_error() - b.weight_error()) <= 1e-3 * a.weight_error() && a.bits() == b.bits();
    on_cpu += a.weight_error();
    on_device += b.weight_error();
    if (absl::StrContains(b.note(), "on the CPU")) {
      EXPECT_EQ(GetParam(), "slim_llm") << b.id() << ": " << b.note();
    }
  }
  printf("%-14s %lld of %zu linears alike; weight errors sum to %.5f on the CPU, %.5f on the device\n",
         GetParam().c_str(), static_cast<long long>(alike), cpu.report.linears.size(), on_cpu, on_device);
  // Training steps on signs of gradients, which noise turns: other codes, as good.
  const bool trained = GetParam() == "omniquant" || GetParam() == "signround";
  if (!trained) {
    EXPECT_GE(10 * alike, 9 * static_cast<int64_t>(cpu.report.linears.size()));
  }
  EXPECT_NEAR(on_device / on_cpu, 1, 0.01);
}

INSTANTIATE_TEST_SUITE_P(Presets, DeviceSearchTest,
                         testing::Values("awq", "duquant", "eaquant", "moequant", "moqa", "mxmoe", "omniquant", "pmq",
                                         "quarot_gptq", "signround", "slim_llm", "smoothquant"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace eaq

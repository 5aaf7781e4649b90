// Any stage beside any other: what runs keeps the model's function (transforms) and gives finite numbers (solvers), and
// what makes no sense is refused with its reason. docs/comparing.md lists what is refused; the lists here are exact.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/walk_testing.h"

namespace eaq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Named = std::pair<std::string, std::string>;  // a stage's name here, its text

const std::vector<Named> kTransforms = {
    {"smoothquant", "smoothquant {}"},
    {"eaquant_smoothing", "eaquant_smoothing {}"},
    {"duquant", "duquant { block_size: 16 max_rotation_steps: 8 }"},
    {"duquant, no smoothing", "duquant { smooth: false block_size: 16 max_rotation_steps: 8 }"},
    {"quarot", "quarot {}"},
    {"quarot, folded only", "quarot { weight_only: true }"},
    {"awq", "awq {}"},
    {"awq, norms only", "awq { value_output: false up_down: false }"},
    {"omniquant_let", "omniquant_let { epochs: 1 }"},
};
const std::vector<Named> kSolvers = {
    {"nearest", "nearest {}"},
    {"nearest, clip", "nearest { clip {} }"},
    {"nearest, ratio search", "nearest { ratio_search {} zero_in_range: false }"},
    {"gptq", "gptq { clip {} }"},
    {"gptq, by affinity, in order", "gptq { affinity {} order: SEQUENTIAL }"},
    {"awq_clip", "awq_clip {}"},
    {"omniquant", "omniquant { epochs: 1 }"},
    {"signround", "signround { iterations: 2 }"},
    {"fitted_gptq", "fitted_gptq {}"},
};
const std::vector<Named> kRouters = {{"keep", "keep {}"}, {"quantize", "quantize {}"}, {"aligned", "aligned {}"}};
const std::vector<Named> kActivations = {{"dynamic", "dynamic {}"}, {"static", "static {}"}};

std::map<std::string, ModelConfig> Configs() {
  std::map<std::string, ModelConfig> all;
  all["olmoe"] = TinyConfig();
  ModelConfig& mixtral = all["mixtral"] = TinyConfig();
  mixtral.num_kv_heads = 2;
  mixtral.qk_norm = QkNorm::kNone;
  mixtral.norm_topk_prob = true;
  ModelConfig& deepseek = all["deepseek"] = TinyConfig();
  deepseek.qk_norm = QkNorm::kNone;
  deepseek.shared_width = 48;
  deepseek.shared_expert_gated = false;
  deepseek.dense_layers = {0};
  deepseek.dense_width = 96;
  return all;
}

Recipe MakeRecipe(const std::vector<std::string>& transforms, const std::string& solve, const std::string& router,
                  const std::string& activation) {
  std::string text = absl::StrCat("name: \"test\" calibration { random {} } allocate { uniform {} } solve { ", solve,
                                  " } router { ", router, " } activation { ", activation, " }");
  for (const std::string& transform : transforms) absl::StrAppend(&text, " transform { ", transform, " }");
  Recipe recipe;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &recipe)) << text;
  return recipe;
}

Matrix Embedded(const ModelEnds& ends, const std::vector<int32_t>& ids) {
  Matrix hidden(ids.size(), ends.config().hidden_size);
  ends.Embed(ids, hidden.view());
  return hidden;
}
Matrix LogitsOf(const ModelEnds& ends, const Matrix& hidden) {
  Matrix logits(hidden.rows(), ends.config().vocab_size);
  ends.Logits(hidden.const_view(), logits.view());
  return logits;
}

// One model and its windows; Walk runs a recipe on them at W4A4, queries, keys and values at 4 bits as well. BUDGET: of
// stored bits an expert weight, 0: none.
class Bench {
 public:
  explicit Bench(const ModelConfig& config) : source_(RandomModel(config, 1)) {
    Rng rng(6, "combinations_test");
    for (int w = 0; w < 4; ++w) {
      CalibrationWindow& window = windows_.emplace_back();
      for (int t = 0; t < 32; ++t) window.window.ids.push_back(static_cast<int32_t>(rng.Below(96)));
    }
    ids_ = windows_[0].window.ids;
    const auto model = Model::Load(*source_).value();
    Matrix hidden(ids_.size(), config.hidden_size);
    model->ForwardHidden(ids_, hidden.view());
    full_ = LogitsOf(model->ends(), hidden);
  }

  struct Outcome {
    absl::Status status;
    double difference = 0;  // of the transformed model's logits, before rounding: max |.| over max |full precision's|
    bool finite = false;    // the quantized model's logits
  };
  Outcome Walk(const Recipe& recipe, double budget = 0) const {
    Outcome outcome;
    const auto wrapped = WrapModel(recipe, source_);
    outcome.status = wrapped.status();
    if (!wrapped.ok()) return outcome;
    const ModelEnds ends((*wrapped)->config(), (*wrapped)->LoadOuter().value());
    Scheme scheme;
    scheme.mutable_weights()->set_bits(4);
    scheme.mutable_activations()->set_bits(4);
    scheme.mutable_attention_operands()->set_bits(4);
    if (budget > 0) scheme.mutable_budget()->set_stored_bits_per_weight(budget);
    WalkTools tools(/*threads=*/1);
    const PipelineInputs in = tools.Inputs(**wrapped, ends, recipe, scheme, windows_);
    Matrix transformed = Embedded(ends, ids_), quantized = transformed;
    const auto report = QuantizeModel(in, [&](const FinishedLayer& layer) {
      const auto full = BuildLayer(ends.config(), *layer.params);
      if (!full.ok()) return full.status();
      (*full)->Forward(transformed.view());
      layer.quantized->Forward(quantized.view());
      return absl::OkStatus();
    });
    outcome.status = report.status();
    if (!report.ok()) return outcome;
    double largest = 0;
    const Matrix logits = LogitsOf(ends, transformed), rounded = LogitsOf(ends, quantized);
    outcome.finite = true;
    for (int64_t i = 0; i < full_.size(); ++i) {
      largest = std::max(largest, std::fabs(double{full_.data()[i]}));
      outcome.difference = std::max(outcome.difference, std::fabs(double{logits.data()[i]} - full_.data()[i]));
      outcome.finite = outcome.finite && std::isfinite(rounded.data()[i]);
    }
    outcome.difference /= largest;
    return outcome;
  }

 private:
  std::shared_ptr<const ModelSource> source_;
  std::vector<CalibrationWindow> windows_;
  std::vector<int32_t> ids_;
  Matrix full_;
};

constexpr char kWholeModel[] = "a transform of the whole model stands after one of single layers";
constexpr char kRunTimeWork[] = "after a transform that leaves";

// Why SECOND cannot follow FIRST; empty: it can.
std::string WhyNot(const std::string& first, const std::string& second) {
  const auto starts = [](const std::string& name, const std::string& with) { return name.rfind(with, 0) == 0; };
  if (starts(second, "quarot") && !starts(first, "quarot")) return kWholeModel;
  static const auto* const kAfterRotatedNorms = new std::set<std::string>{
      "smoothquant", "eaquant_smoothing", "duquant", "awq", "awq, norms only", "omniquant_let"};
  if (starts(first, "duquant") && kAfterRotatedNorms->count(second) > 0) return kRunTimeWork;
  static const auto* const kAfterRotatedDowns =
      new std::set<std::string>{"eaquant_smoothing", "duquant", "awq", "omniquant_let", "quarot"};
  if (first == "quarot" && kAfterRotatedDowns->count(second) > 0) return kRunTimeWork;
  return "";
}

TEST(Combinations, TransformsKeepTheFunctionInAnyOrderOrSayWhyNot) {
  for (const auto& [name, config] : Configs()) {
    const Bench bench(config);
    for (const auto& [first, first_text] : kTransforms) {
      for (const auto& [second, second_text] : kTransforms) {
        SCOPED_TRACE(absl::StrCat(name, ": ", first, " -> ", second));
        const auto outcome = bench.Walk(MakeRecipe({first_text, second_text}, "nearest {}", "keep {}", "dynamic {}"));
        const std::string why_not = WhyNot(first, second);
        if (!why_not.empty()) {
          EXPECT_THAT(outcome.status,
                      StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr(why_not), HasSubstr("expected it"))));  // and what to do instead
          continue;
        }
        ASSERT_THAT(outcome.status, IsOk());
        EXPECT_LE(outcome.difference, 1e-4);
      }
    }
  }
}

TEST(Combinations, SolversRunAfterAnyTransformWithAnyRouter) {
  for (const auto& [name, config] : Configs()) {
    const Bench bench(config);
    for (const auto& [transform, transform_text] : kTransforms) {
      for (const auto& [solver, solver_text] : kSolvers) {
        for (const auto& [router, router_text] : kRouters) {
          for (const auto& [activation, activation_text] : kActivations) {
            SCOPED_TRACE(absl::StrCat(name, ": ", transform, " + ", solver, " + ", router, " + ", activation));
            const auto outcome = bench.Walk(MakeRecipe({transform_text}, solver_text, router_text, activation_text));
            if (transform == "omniquant_let" && activation == "static") {
              EXPECT_THAT(outcome.status,
                          StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected dynamic activations")));
              continue;
            }
            ASSERT_THAT(outcome.status, IsOk());
            EXPECT_TRUE(outcome.finite);
          }
        }
      }
    }
  }
}

// Experts of one layer with different widths, which every solver must take.
TEST(Combinations, AllocatorsRunWithAnySolverAndTransform) {
  const std::vector<std::string> allocators = {"mopeq {}",
                                               "mopeq { score: OUTPUT_ERROR scope: LAYER }",
                                               "pmq {}",
                                               "moqa {}",
                                               "mxmoe { unit: LINEAR scope: MODEL }",
                                               "gemq {}",
                                               "quantmoe_bench { first_layers: 1 }",
                                               "quantmoe_bench { rule: LINEAR_SCORE }",
                                               "ewq {}"};
  for (const auto& [name, config] : Configs()) {
    const Bench bench(config);
    for (const std::string& allocator : allocators) {
      for (const double budget : {0.0, 4.0}) {  // the grids alone cost more than a bit in these narrow matrices
        for (const auto& [solver, solver_text] : kSolvers) {
          for (const std::string transform : {"", "quarot {}", "duquant { block_size: 16 max_rotation_steps: 8 }"}) {
            SCOPED_TRACE(absl::StrCat(name, ": ", allocator, " at ", budget, ", ", solver, " after ", transform));
            Recipe recipe = MakeRecipe(transform.empty() ? std::vector<std::string>() : std::vector{transform},
                                       solver_text, "quantize {}", "dynamic {}");
            ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(allocator, recipe.mutable_allocate()));
            const auto outcome = bench.Walk(recipe, budget);
            ASSERT_THAT(outcome.status, IsOk());
            EXPECT_TRUE(outcome.finite);
          }
        }
      }
    }
  }
}

// Experts that are gone, and others that single tokens drop, under every transform; learning stages say that they
// cannot.
TEST(Combinations, PrunedExpertsRunWithAnyTransformAndSolverThatDoesNotTrain) {
  for (const auto& [name, config] : Configs()) {
    const Bench bench(config);
    for (const auto& [transform, transform_text] : kTransforms) {
      for (const auto& [solver, solver_text] : kSolvers) {
        SCOPED_TRACE(absl::StrCat(name, ": ", transform, " + ", solver));
        Recipe recipe = MakeRecipe({transform_text}, solver_text, "quantize {}", "dynamic {}");
        recipe.mutable_allocate()->mutable_seer_moe();
        recipe.mutable_online_pruning()->set_layers(1);
        const auto outcome = bench.Walk(recipe);
        if (transform == "omniquant_let" || solver == "omniquant" || solver == "signround") {
          EXPECT_THAT(outcome.status, StatusIs(absl::StatusCode::kInvalidArgument,
                                               AllOf(HasSubstr("has pruned experts"), HasSubstr("expected none"))));
          continue;
        }
        ASSERT_THAT(outcome.status, IsOk());
        EXPECT_TRUE(outcome.finite);
      }
    }
  }
}

// Stages that are tuned on data, in a recipe that reads none.
TEST(Combinations, StagesThatReadDataNeedSome) {
  const Bench bench(TinyConfig());
  const auto walk = [&](const std::string& transform, const std::string& solver, const std::string& router,
                        const std::string& activation) {
    Recipe recipe = MakeRecipe({}, solver, router, activation);
    if (!transform.empty()) recipe = MakeRecipe({transform}, solver, router, activation);
    recipe.mutable_calibration()->mutable_none();
    return bench.Walk(recipe).status;
  };
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("calibration"));
  for (const auto& [name, text] : kTransforms) {
    SCOPED_TRACE(name);
    if (name.rfind("quarot", 0) == 0) {
      EXPECT_THAT(walk(text, "nearest {}", "keep {}", "dynamic {}"), IsOk());
    } else {
      EXPECT_THAT(walk(text, "nearest {}", "keep {}", "dynamic {}"), refused);
    }
  }
  for (const auto& [name, text] : kSolvers) {
    SCOPED_TRACE(name);
    if (name.rfind("nearest", 0) == 0) {
      EXPECT_THAT(walk("", text, "keep {}", "dynamic {}"), IsOk());
    } else {
      EXPECT_THAT(walk("", text, "keep {}", "dynamic {}"), refused);
    }
  }
  EXPECT_THAT(walk("", "nearest {}", "aligned {}", "dynamic {}"), refused);
  EXPECT_THAT(walk("", "nearest {}", "keep {}", "static {}"), refused);
  EXPECT_THAT(walk("", "nearest {}", "quantize {}", "dynamic {}"), IsOk());
}

}  // namespace
}  // namespace eaq

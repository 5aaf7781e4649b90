#include "eaq/recipe/expert_rows.h"

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::vector<Matrix> Windows(const ModelConfig& config, int count, int64_t tokens) {
  Rng rng(2, "expert_rows_test");
  std::vector<Matrix> windows;
  for (int w = 0; w < count; ++w) {
    Matrix& x = windows.emplace_back(tokens + w, config.hidden_size);
    for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.Below(2000)) / 1000 - 1;
  }
  return windows;
}

// The definition: one expert rounded in the layer itself, the layer run anew, the change of its output.
TEST(ExpertRows, ErrorsAreTheChangeOfTheLayersOutput) {
  for (const bool renormalise : {false, true}) {
    ModelConfig config = TinyConfig();
    config.norm_topk_prob = renormalise;
    const LayerParams params = RandomLayer(config, 0, 5);
    const auto layer = *BuildLayer(config, params);
    const std::vector<Matrix> windows = Windows(config, 3, 20);
    ThreadPool pool(2);
    const auto rows = CollectExpertRows(config, 0, *layer, windows, pool);
    ASSERT_EQ(static_cast<int64_t>(rows.size()), config.num_experts);
    GridSpec grid;
    grid.bits = 4;
    const std::vector<int> widths = {2, 4, 16};
    const auto errors = MeasureExpertErrors(params, rows, grid, widths, pool);
    ASSERT_THAT(errors.status(), IsOk());
    for (int e = 0; e < config.num_experts; ++e) {
      for (size_t b = 0; b < widths.size(); ++b) {
        LayerParams edited = params;
        for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
          if (widths[b] == 16) break;
          Matrix& w = edited.linears.at({0, role, e}).weight;
          GridSpec narrow = grid;
          narrow.bits = widths[b];
          w = Dequantize(*QuantizeNearest(w.const_view(), narrow));
        }
        const auto rounded = *BuildLayer(config, edited);
        for (size_t w = 0; w < windows.size(); ++w) {
          Matrix a = windows[w], q = windows[w];
          layer->Forward(a.view());
          rounded->Forward(q.view());
          double square = 0;
          for (int64_t i = 0; i < a.size(); ++i) square += std::pow(static_cast<double>(a.data()[i]) - q.data()[i], 2);
          EXPECT_NEAR((*errors)[e][b][w], square, 1e-4 * square + 1e-9) << e << " " << widths[b] << " " << w;
        }
      }
    }
  }
}

TEST(ExpertRows, CountEveryAssignmentOnceForAnyThreads) {
  const ModelConfig config = TinyConfig();
  const LayerParams params = RandomLayer(config, 1, 5);
  const auto layer = *BuildLayer(config, params);
  const std::vector<Matrix> windows = Windows(config, 4, 11);
  ThreadPool one(1), two(2);
  const auto a = CollectExpertRows(config, 1, *layer, windows, one);
  const auto b = CollectExpertRows(config, 1, *layer, windows, two);
  int64_t assignments = 0, tokens = 0;
  double probability = 0;
  for (size_t e = 0; e < a.size(); ++e) {
    EXPECT_EQ(a[e].begin, b[e].begin);
    EXPECT_EQ(a[e].weight, b[e].weight);
    EXPECT_EQ(a[e].probability, b[e].probability);
    EXPECT_EQ(a[e].begin.size(), windows.size() + 1);
    EXPECT_EQ(static_cast<int64_t>(a[e].weight.size()), a[e].x.rows());
    assignments += a[e].x.rows();
    for (const float p : a[e].probability) probability += p;
  }
  for (const Matrix& w : windows) tokens += w.rows();
  EXPECT_EQ(assignments, tokens * config.experts_per_token);
  EXPECT_LT(probability, tokens);                              // of two of eight experts
  EXPECT_GT(probability, 0.25 * static_cast<double>(tokens));  // the two largest
}

TEST(ExpertRows, DenseLayersHaveNone) {
  ModelConfig config = TinyConfig();
  config.dense_layers = {0};
  config.dense_width = 40;
  const auto layer = *BuildLayer(config, RandomLayer(config, 0, 5));
  ThreadPool pool(1);
  EXPECT_TRUE(CollectExpertRows(config, 0, *layer, Windows(config, 1, 5), pool).empty());
}

TEST(ExpertRows, NamesTheLinearThatCannotBeRounded) {
  const ModelConfig config = TinyConfig();
  LayerParams params = RandomLayer(config, 0, 5);
  const auto layer = *BuildLayer(config, params);
  ThreadPool pool(1);
  const auto rows = CollectExpertRows(config, 0, *layer, Windows(config, 1, 5), pool);
  params.linears.at({0, Role::kUp, 3}).weight(0, 0) = INFINITY;
  GridSpec grid;
  grid.bits = 4;
  EXPECT_THAT(MeasureExpertErrors(params, rows, grid, {4}, pool).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("L0.e3.up")));
}

}  // namespace
}  // namespace eaq

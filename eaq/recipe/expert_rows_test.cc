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

// A layer whose downs read rotated rows, as QuaRot leaves it.
LayerParams WithRotatedDowns(const ModelConfig& config, LayerParams params) {
  OnlineTransform turn;
  turn.steps = {OnlineStep::Hadamard(8)};
  const auto shared = std::make_shared<const OnlineTransform>(turn);
  for (int e = 0; e < config.num_experts; ++e) {
    LinearParams& down = params.linears.at({params.layer, Role::kDown, e});
    shared->FoldIntoWeight(down.weight.view());
    down.online = shared;
  }
  return params;
}

// The definition: one expert, or some of its linears, rounded in the layer itself, the layer run anew, the change of
// its output.
TEST(ExpertRows, ErrorsAreTheChangeOfTheLayersOutput) {
  const std::vector<Role> all = {Role::kGate, Role::kUp, Role::kDown};
  struct Case {
    std::vector<Role> parts;
    bool renormalise, rotated, weighted, clipped = false;
  };
  const std::vector<Case> cases = {{all, false, false, false},
                                   {all, true, true, false},
                                   {{Role::kUp}, false, true, true},
                                   {{Role::kGate, Role::kDown}, true, false, true},
                                   {all, false, false, true, true}};
  for (const auto& [parts, renormalise, rotated, weighted, clipped] : cases) {
    ModelConfig config = TinyConfig();
    config.norm_topk_prob = renormalise;
    LayerParams params = RandomLayer(config, 0, 5);
    if (rotated) params = WithRotatedDowns(config, std::move(params));
    const auto layer = *BuildLayer(config, params);
    const std::vector<Matrix> windows = Windows(config, 3, 20);
    ThreadPool pool(2);
    const auto rows = CollectExpertRows(config, 0, *layer, windows, pool);
    ASSERT_EQ(static_cast<int64_t>(rows.size()), config.num_experts);
    GridSpec grid;
    grid.bits = 4;
    const std::vector<int> widths = {2, 4, 16};
    ExpertErrorOptions options;
    options.parts = parts;
    std::vector<Matrix> squares = Windows(config, 3, 20);  // of any numbers
    for (Matrix& m : squares) {
      for (int64_t i = 0; i < m.size(); ++i) m.data()[i] *= m.data()[i];
    }
    if (weighted) options.importance = squares;
    const ClipSearchSpec clip;
    if (clipped) options.clip = clip;
    const auto errors = MeasureExpertErrors(params, rows, grid, widths, pool, options);
    ASSERT_THAT(errors.status(), IsOk());
    for (int e = 0; e < config.num_experts; ++e) {
      for (size_t b = 0; b < widths.size(); ++b) {
        LayerParams edited = params;
        for (const Role role : parts) {
          if (widths[b] == 16) break;
          Matrix& w = edited.linears.at({0, role, e}).weight;
          GridSpec narrow = grid;
          narrow.bits = widths[b];
          w = Dequantize(*QuantizeNearest(w.const_view(), narrow, clipped ? &clip : nullptr));
        }
        const auto rounded = *BuildLayer(config, edited);
        for (size_t w = 0; w < windows.size(); ++w) {
          Matrix a = windows[w], q = windows[w];
          layer->Forward(a.view());
          rounded->Forward(q.view());
          double square = 0;
          for (int64_t i = 0; i < a.size(); ++i) {
            const double d = static_cast<double>(a.data()[i]) - q.data()[i];
            square += d * d * (weighted ? squares[w].data()[i] : 1.0);
          }
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
    EXPECT_EQ(a[e].token, b[e].token);
    ASSERT_EQ(a[e].token.size(), a[e].weight.size());
    for (size_t w = 0; w < windows.size(); ++w) {
      for (int64_t i = a[e].begin[w]; i < a[e].begin[w + 1]; ++i) {
        EXPECT_LT(a[e].token[i], windows[w].rows());
        if (i > a[e].begin[w]) {
          EXPECT_LT(a[e].token[i - 1], a[e].token[i]);
        }
      }
    }
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

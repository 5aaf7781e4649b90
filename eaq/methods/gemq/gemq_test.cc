// GEMQ's coefficients by their definition, its program against trying every assignment, budgets.
#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/gemq/loss_gradients.h"
#include "eaq/model/layer.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/recipe/allocation_testing.h"

namespace eaq::gemq {
namespace {

using ::testing::HasSubstr;

constexpr int kWidths[] = {2, 3, 4};

// One expert rounded in the layer itself, the layer run anew, the change of its output times the gradient, squared.
TEST(Gemq, CoefficientsAreErrorsWeightedByTheSquaredGradient) {
  ModelConfig config = TinyConfig();
  config.norm_topk_prob = true;
  AllocatorRun run(config, "gemq {}");
  ASSERT_THAT(run.status, IsOk());
  ASSERT_EQ(run.surveys.size(), 2u);
  ASSERT_EQ(run.surveys[0].size(), 8u * 3);
  int seen = 0;
  const absl::Status walked = WalkLossGradients(
      run.Model(),
      [&](const LayerParams& params, absl::Span<const Matrix> hidden,
          absl::Span<const Matrix> gradient) -> absl::Status {
        const auto layer = *BuildLayer(config, params);
        for (const int e : {0, 3, 7}) {
          for (int b = 0; b < 3; ++b) {
            LayerParams edited = params;
            GridSpec grid = run.scheme.weights;
            grid.bits = kWidths[b];
            for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
              Matrix& w = edited.linears.at({params.layer, role, e}).weight;
              w = Dequantize(*QuantizeNearest(w.const_view(), grid));
            }
            const auto rounded = *BuildLayer(config, edited);
            double expected = 0;
            for (size_t w = 0; w < hidden.size(); ++w) {
              Matrix a = hidden[w], q = hidden[w];
              layer->Forward(a.view());
              rounded->Forward(q.view());
              for (int64_t i = 0; i < a.size(); ++i) {
                const double d = static_cast<double>(a.data()[i]) - q.data()[i], g = gradient[w].data()[i];
                expected += g * g * d * d;
              }
            }
            EXPECT_NEAR(run.surveys[params.layer][3 * e + b], expected, 1e-3 * expected) << params.layer << " " << e;
            seen += expected > 0;
          }
        }
        return absl::OkStatus();
      });
  ASSERT_THAT(walked, IsOk());
  EXPECT_GT(seen, 10);
}

TEST(Gemq, FindsTheBestOfAllAssignments) {
  Rng rng(6, "gemq_test");
  ModelConfig config = TinyConfig();
  config.num_experts = 4;
  AllocatorRun run(config, "gemq {}");
  ASSERT_THAT(run.status, IsOk());
  int differ = 0;
  for (int round = 0; round < 30; ++round) {
    std::vector<std::vector<double>> surveys(2);
    for (int e = 0; e < 8; ++e) {  // the first layer matters less
      const double size = std::exp(static_cast<double>(rng.Below(600)) / 100) * (e < 4 ? 0.01 : 1);
      for (const double factor : {16.0, 4.0, 1.0}) {
        surveys[e / 4].push_back(size * factor * (1 + static_cast<double>(rng.Below(100)) / 200));
      }
    }
    const int budget = 22 + static_cast<int>(rng.Below(4));  // 2 2 3 4 in each layer is the least
    double least[2] = {1e300, 1e300};                        // without and with the conditions
    std::vector<int> choice(8, 0);
    while (true) {
      int bits = 0;
      double sum = 0;
      bool keeps = true;
      for (int e = 0; e < 8; ++e) bits += kWidths[choice[e]], sum += surveys[e / 4][3 * (e % 4) + choice[e]];
      for (int l = 0; l < 2; ++l) {
        for (const int c : {1, 2}) keeps = keeps && std::count(&choice[4 * l], &choice[4 * l] + 4, c) > 0;
      }
      if (bits <= budget) least[0] = std::min(least[0], sum);
      if (bits <= budget && keeps) least[1] = std::min(least[1], sum);
      int i = 0;
      while (i < 8 && ++choice[i] == 3) choice[i++] = 0;
      if (i == 8) break;
    }
    differ += least[0] < least[1];
    for (const bool keep : {false, true}) {
      const AllocatorRun with(config, absl::StrCat("gemq { average_bits: ", (budget + 0.5) / 8,
                                                   " keep_two_widest: ", keep ? "true" : "false", " }"));
      const auto plan = with.stage->Allocate(with.problem, surveys);
      ASSERT_THAT(plan.status(), IsOk());
      double sum = 0;
      int bits = 0;
      for (int e = 0; e < 8; ++e) {
        const int b = plan->at({e / 4, Role::kUp, e % 4}).bits;
        EXPECT_EQ(plan->at({e / 4, Role::kDown, e % 4}).bits, b);
        bits += b;
        sum += surveys[e / 4][3 * (e % 4) + b - 2];
      }
      EXPECT_LE(bits, budget);
      EXPECT_NEAR(sum, least[keep ? 1 : 0], 1e-6 * least[keep ? 1 : 0]);
    }
  }
  EXPECT_GT(differ, 10);  // rounds in which the conditions cost something
}

TEST(Gemq, MeetsABudgetAndKeepsTheTwoWidestInEveryLayer) {
  const AllocatorRun run(SixteenExperts(), "gemq {}", 3.0);
  ASSERT_THAT(run.status, IsOk());
  EXPECT_LE(run.StoredBits(), 3.0 + kBudgetSlack);
  EXPECT_GE(run.StoredBits(), 3.0 - 0.01);
  for (int l = 0; l < 4; ++l) {
    std::map<int, int> whole;  // experts whose three linears have one width
    for (int e = 0; e < 16; ++e) {
      const int bits = run.Bits({l, Role::kGate, e});
      if (run.Bits({l, Role::kUp, e}) == bits && run.Bits({l, Role::kDown, e}) == bits) ++whole[bits];
    }
    EXPECT_GT(whole[3], 0) << l;
    EXPECT_GT(whole[4], 0) << l;
    EXPECT_EQ(run.Bits({l, Role::kQ}), 4);
  }
  const AllocatorRun again(SixteenExperts(), "gemq {}", 3.0, Budget::EXPERTS, /*threads=*/1);
  EXPECT_EQ(again.plan, run.plan);
}

// Ours: the coefficients of parts are those of rounding these linears alone, and of one expert's parts in one order.
TEST(Gemq, LinearBlocksGetTheirOwnWidths) {
  const AllocatorRun whole(SixteenExperts(), "gemq {}", 3.0);
  const AllocatorRun blocks(SixteenExperts(), "gemq { unit: LINEAR_BLOCK keep_two_widest: false }", 3.0);
  const AllocatorRun linears(SixteenExperts(), "gemq { unit: LINEAR keep_two_widest: false }", 3.0);
  ASSERT_THAT(whole.status, IsOk());
  ASSERT_THAT(blocks.status, IsOk());
  ASSERT_THAT(linears.status, IsOk());
  for (int l = 0; l < 4; ++l) {
    ASSERT_EQ(blocks.surveys[l].size(), 16u * 2 * 3);
    ASSERT_EQ(linears.surveys[l].size(), 16u * 3 * 3);
    for (int e = 0; e < 16; ++e) {
      // The two lists measure down alone: the same numbers.
      for (int w = 0; w < 3; ++w) {
        EXPECT_EQ(blocks.surveys[l][6 * e + 3 + w], linears.surveys[l][9 * e + 6 + w]) << l << " " << e;
      }
      EXPECT_EQ(blocks.Bits({l, Role::kGate, e}), blocks.Bits({l, Role::kUp, e}));
    }
  }
  int apart = 0;
  for (int e = 0; e < 16; ++e) apart += blocks.Bits({1, Role::kGate, e}) != blocks.Bits({1, Role::kDown, e});
  EXPECT_GT(apart, 0);
  for (const AllocatorRun* run : {&blocks, &linears}) {
    EXPECT_LE(run->StoredBits(), 3.0 + kBudgetSlack);
    EXPECT_GE(run->StoredBits(), 3.0 - 0.01);
  }
  // By the coefficients of single linears the finer program is no worse.
  const auto damage = [&](const AllocatorRun& run) {
    double sum = 0;
    for (int l = 0; l < 4; ++l) {
      for (int e = 0; e < 16; ++e) {
        const Role roles[] = {Role::kGate, Role::kUp, Role::kDown};
        for (int p = 0; p < 3; ++p) sum += linears.surveys[l][9 * e + 3 * p + run.Bits({l, roles[p], e}) - 2];
      }
    }
    return sum;
  };
  EXPECT_LT(damage(linears), damage(blocks) * 1.001);
  EXPECT_THAT(AllocatorRun(TwoLayers(8), "gemq { unit: LINEAR }").status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs a scheme's budget")));
}

TEST(Gemq, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(AllocatorRun(TinyConfig(), "gemq { bits: 9 }").status, invalid("gemq.bits is 9"));
  EXPECT_THAT(AllocatorRun(TinyConfig(), "gemq { average_bits: 0 }").status, invalid("average_bits is 0"));
  EXPECT_THAT(AllocatorRun(TinyConfig(), "gemq { average_bits: 2.1 }").status,
              invalid("gemq.average_bits (see also keep_two_widest): no choice of 16 items"));
}

}  // namespace
}  // namespace eaq::gemq

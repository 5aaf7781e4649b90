// SliM-LLM's search of widths against trying every n in float64, and the stage on a layer.
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/methods/slim_llm/search.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/gptq.h"
#include "eaq/quant/packing.h"
#include "eaq/recipe/allocation_testing.h"
#include "eaq/recipe/stage.h"

namespace eaq::slim_llm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Matrix RandomMatrix(int64_t rows, int64_t cols, double size, const std::string& purpose) {
  Rng rng(8, "slim_llm_test/" + purpose);
  Matrix m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(size * rng.Normal());
  return m;
}

GridSpec Groups(int bits, int64_t size) {
  return {.bits = bits, .granularity = Granularity::kGroup, .group_size = size};
}

std::vector<double> NaiveSoftmax(const std::vector<double>& row) {
  double sum = 0;
  std::vector<double> p;
  for (const double x : row) sum += std::exp(x);
  for (const double x : row) p.push_back(std::max(std::exp(x) / sum, 1e-6));
  return p;
}

// KL of the outputs in float64 throughout.
double NaiveDivergence(const Matrix& w, const Matrix& q, const Matrix& x) {
  double sum = 0;
  for (int64_t t = 0; t < x.rows(); ++t) {
    std::vector<double> exact(w.rows(), 0.0), rounded(w.rows(), 0.0);
    for (int64_t r = 0; r < w.rows(); ++r) {
      for (int64_t c = 0; c < w.cols(); ++c) {
        exact[r] += static_cast<double>(w(r, c)) * x(t, c);
        rounded[r] += static_cast<double>(q(r, c)) * x(t, c);
      }
    }
    const std::vector<double> p = NaiveSoftmax(exact), s = NaiveSoftmax(rounded);
    for (size_t i = 0; i < p.size(); ++i) sum += s[i] * std::log(s[i] / p[i]);
  }
  return sum / static_cast<double>(x.rows());
}

TEST(SlimLlm, SalienceIsTheSumOverTheGroup) {
  Matrix w(2, 3);
  const float values[] = {1, 2, 3, -4, 5, 6};
  std::copy_n(values, 6, w.data());
  const std::vector<double> u = {1, 0.5, 2};
  // Columns: 1 + 16, (4 + 25) / 0.25, (9 + 36) / 4.
  EXPECT_THAT(GroupSalience(w.const_view(), u, 2), ElementsAre(17 + 116, 11.25));
}

TEST(SlimLlm, FindsTheBestCountOfRaisedGroups) {
  int not_one = 0;
  for (int round = 0; round < 6; ++round) {
    const Matrix w = RandomMatrix(12, 48, 0.3, absl::StrCat("w", round));
    const Matrix x = RandomMatrix(30, 48, 1 + round % 3, absl::StrCat("x", round));
    const std::vector<double> salience = {3, 9, 1, 7, 4, 8, 2, 6, 5, 10, 0.5, 12};
    const int order[] = {10, 2, 6, 0, 4, 8, 7, 3, 5, 1, 9, 11};  // rising
    for (const bool uniform : {false, true}) {
      double least = 1e300;
      std::vector<uint8_t> best;
      for (int n = uniform ? 0 : 1; n <= 5; ++n) {
        std::vector<uint8_t> widths(12, 2);
        for (int i = 0; i < n; ++i) widths[order[i]] = 1, widths[order[11 - i]] = 3;
        const Matrix q = Dequantize(*QuantizeNearest(w.const_view(), Groups(2, 4), nullptr, widths));
        const double divergence = NaiveDivergence(w, q, x);
        if (divergence < least) least = divergence, best = widths;
      }
      EAQ_ASSERT_OK_AND_ASSIGN(const auto found, SearchGroupBits(w.const_view(), x, salience, Groups(2, 4), uniform));
      EXPECT_EQ(found, best) << round;
      EXPECT_EQ(std::count(found.begin(), found.end(), 1), std::count(found.begin(), found.end(), 3));
      not_one += std::count(found.begin(), found.end(), 1) != 1;
    }
    const Matrix q = Dequantize(*QuantizeNearest(w.const_view(), Groups(2, 4)));
    Matrix exact(30, 12), rounded(30, 12);
    for (int64_t t = 0; t < 30; ++t) {
      for (int64_t r = 0; r < 12; ++r) {
        double a = 0, b = 0;
        for (int64_t c = 0; c < 48; ++c) {
          a += static_cast<double>(w(r, c)) * x(t, c);
          b += static_cast<double>(q(r, c)) * x(t, c);
        }
        exact(t, r) = static_cast<float>(a), rounded(t, r) = static_cast<float>(b);
      }
    }
    EXPECT_NEAR(OutputDivergence(exact, rounded), NaiveDivergence(w, q, x), 1e-5);
  }
  EXPECT_GT(not_one, 0);  // or the search would have nothing to find
}

TEST(SlimLlm, FewGroupsStayAtOneWidth) {
  const Matrix w = RandomMatrix(4, 24, 0.3, "w"), x = RandomMatrix(9, 24, 1, "x");
  EXPECT_THAT(SearchGroupBits(w.const_view(), x, {1.0, 2.0, 3.0}, Groups(3, 8), false),
              IsOkAndHolds(ElementsAre(3, 3, 3)));
  EXPECT_THAT(SearchGroupBits(w.const_view(), x, {1.0, 2.0, 3.0, 4.0}, Groups(3, 6), false),
              IsOkAndHolds(ElementsAre(2, 3, 3, 4)));
}

absl::StatusOr<std::unique_ptr<SolveSlot>> Make(const std::string& options) {
  SolveStage slot;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString("slim_llm { " + options + " }", &slot)) << options;
  return MakeStage<SolveSlot>(slot, "solve");
}

TEST(SlimLlm, RoundsExpertsOnTheirOwnMomentsWithinTheSameBytes) {
  const ModelConfig config = SixteenExperts();
  ThreadPool pool(2);
  const LayerParams params = RandomLayer(config, 0, 7);
  const auto layer = BuildLayer(config, params).value();
  std::vector<Matrix> hidden;
  for (int w = 0; w < 4; ++w) hidden.push_back(RandomMatrix(60, config.hidden_size, 1, absl::StrCat("window", w)));
  const LayerProfile profile = ProfileLayer(*layer, hidden, {}, pool).value();
  const LayerScheme scheme{.weights = Groups(2, 8)};
  LayerContext context;
  context.config = &config;
  context.scheme = &scheme;
  context.profile = &profile;
  context.hidden = hidden;
  context.pool = &pool;
  std::map<LinearId, GridSpec> plan;
  for (const auto& [id, linear] : params.linears) {
    if (id.expert >= 0) plan[id] = Groups(2, 8);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stage, Make("gptq { act_order: false static_groups: false }"));
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears solved, stage->SolveLayer(context, params, plan));
  int mixed = 0;
  for (const auto& [id, linear] : solved) {
    const InputStatistics& seen = profile.Of(id);
    const Matrix& w = params.linears.at(id).weight;
    if (seen.tokens == 0) {
      EXPECT_THAT(linear.note, HasSubstr("rounded to nearest"));
      continue;
    }
    // The search, on this expert's own inverse factor; and GPTQ with the widths that it gives.
    GptqOptions gptq;
    gptq.act_order = gptq.static_groups = false;
    gptq.salient.emplace();
    gptq.group_bits = linear.weight.group_bits;
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult expected,
                             GptqSolve(w.const_view(), seen.second_moments, Groups(2, 8), gptq));
    EXPECT_EQ(linear.weight, expected.weight) << id.ToString();
    EAQ_ASSERT_OK_AND_ASSIGN(const auto u, InverseFactorDiagonal(seen.second_moments, 0.01));
    const std::vector<double> salience = GroupSalience(w.const_view(), u, 8);
    const auto& widths = linear.weight.group_bits;
    if (widths.empty()) continue;
    ++mixed;
    EXPECT_THAT(linear.note, StartsWith("groups: "));
    double highest_lowered = 0, lowest_raised = 1e300;
    for (size_t g = 0; g < widths.size(); ++g) {
      if (widths[g] == 1) highest_lowered = std::max(highest_lowered, salience[g]);
      if (widths[g] == 3) lowest_raised = std::min(lowest_raised, salience[g]);
    }
    EXPECT_LT(highest_lowered, lowest_raised);
    // As many codes as at 2 bits throughout; the widths cost a byte a group, and 1-bit groups have no zeros to store.
    const SizeAccount size = Pack(linear.weight)->size(), plain = PackedSize(Groups(2, 8), w.rows(), w.cols());
    EXPECT_EQ(size.code_bytes, plain.code_bytes);
    EXPECT_EQ(size.group_width_bytes, static_cast<int64_t>(widths.size()));
  }
  EXPECT_GT(mixed, 20);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto again, Make("gptq { act_order: false static_groups: false }"));
  ThreadPool one(1);
  context.pool = &one;
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears same, again->SolveLayer(context, params, plan));
  for (const auto& [id, linear] : solved) EXPECT_EQ(same.at(id).weight, linear.weight);
  plan.begin()->second = {.bits = 2};
  EXPECT_THAT(stage->SolveLayer(context, params, plan).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected one per group, of 2 .. 7 bits")));
}

TEST(SlimLlm, RefusesWhatItDoesNotDo) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Make("gptq { clip {} }").status(), invalid("slim_llm.gptq has clip"));
  EXPECT_THAT(Make("gptq { static_groups: false }").status(), invalid("act_order and no static_groups"));
  EXPECT_THAT(Make("tokens: 0").status(), invalid("slim_llm.tokens is 0"));
  EXPECT_THAT(Make("deviations: -1").status(), invalid("deviations -1"));
}

}  // namespace
}  // namespace eaq::slim_llm

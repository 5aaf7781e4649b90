// PMQ's program against trying every assignment, from surveys of a real layer and from made-up ones.
#include <algorithm>
#include <cmath>
#include <map>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/allocation_testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<AllocateSlot>> Make(const std::string& options) { return MakeAllocator("pmq", options); }

constexpr int kWidths[] = {2, 3, 4};

// A survey as Survey lays it out: tokens, probability mass, errors of three widths, expert by expert.
std::vector<double> MadeUp(int experts, Rng& rng) {
  std::vector<double> survey;
  for (int e = 0; e < experts; ++e) {
    survey.push_back(static_cast<double>(1 + rng.Below(100)));
    survey.push_back(static_cast<double>(1 + rng.Below(100)) / 3);
    const double error = static_cast<double>(1 + rng.Below(1000));
    survey.insert(survey.end(), {16 * error, 4 * error, error});
  }
  return survey;
}

// phi^alpha w^beta eps^gamma of an assignment, by the paper's formula.
double Objective(const std::vector<double>& survey, const std::vector<int>& choice, double alpha, double beta,
                 double gamma) {
  double tokens = 0, mass = 0, sum = 0;
  for (size_t e = 0; e < choice.size(); ++e) tokens += survey[5 * e], mass += survey[5 * e + 1];
  for (size_t e = 0; e < choice.size(); ++e) {
    sum += std::pow(survey[5 * e] / tokens, alpha) * std::pow(survey[5 * e + 1] / mass, beta) *
           std::pow(survey[5 * e + 2 + choice[e]], gamma);
  }
  return sum;
}

TEST(Pmq, FindsTheBestOfAllAssignmentsThatKeepTheTwoWidest) {
  Rng rng(6, "pmq_test");
  for (int round = 0; round < 40; ++round) {
    const int experts = 3 + round % 3;
    const bool keep = round % 2 == 0;
    const int budget = 2 * experts + 3 + static_cast<int>(rng.Below(experts));
    const ModelConfig config = TwoLayers(experts);
    const auto problem = *AllocationProblem::Create(config, FourBits());
    const std::vector<std::vector<double>> surveys = {MadeUp(experts, rng), MadeUp(experts, rng)};
    const auto stage = Make(absl::StrCat("average_bits: ", (budget + 0.5) / experts, " alpha: 1 beta: 1.5 gamma: 2",
                                         " keep_two_widest: ", keep ? "true" : "false"));
    ASSERT_THAT(stage.status(), IsOk());
    const auto plan = (*stage)->Allocate(problem, surveys);
    ASSERT_THAT(plan.status(), IsOk());
    for (int l = 0; l < 2; ++l) {
      double least = 1e300;
      std::vector<int> choice(experts, 0);
      while (true) {
        int bits = 0;
        for (const int c : choice) bits += kWidths[c];
        const bool kept =
            std::count(choice.begin(), choice.end(), 2) > 0 && std::count(choice.begin(), choice.end(), 1) > 0;
        if (bits <= budget && (kept || !keep)) least = std::min(least, Objective(surveys[l], choice, 1, 1.5, 2));
        int i = 0;
        while (i < experts && ++choice[i] == 3) choice[i++] = 0;
        if (i == experts) break;
      }
      std::vector<int> found;
      int bits = 0;
      for (int e = 0; e < experts; ++e) {
        found.push_back(plan->at({l, Role::kUp, e}).bits - 2);
        bits += found.back() + 2;
      }
      EXPECT_LE(bits, budget);
      EXPECT_NEAR(Objective(surveys[l], found, 1, 1.5, 2), least, 1e-12 * least + 1e-300);
    }
  }
}

TEST(Pmq, SurveysALayerAndMeetsABudgetOfStoredBits) {
  ModelConfig config = TwoLayers(16);
  config.hidden_size = 64;
  config.expert_width = 48;
  Scheme scheme = FourBits();
  scheme.mutable_budget()->set_stored_bits_per_weight(3.2);
  const auto problem = *AllocationProblem::Create(config, scheme);
  const LayerScheme layer_scheme = *LayerScheme::FromProto(scheme);
  const auto stage = *Make("");
  ThreadPool pool(1);
  Rng rng(4, "pmq_test/windows");
  std::vector<Matrix> hidden(3, Matrix(40, config.hidden_size));
  for (Matrix& h : hidden) {
    for (int64_t i = 0; i < h.size(); ++i) h.data()[i] = static_cast<float>(rng.Normal());
  }
  std::vector<std::vector<double>> surveys;
  for (int l = 0; l < config.num_layers; ++l) {
    LayerContext context;
    const LayerProfile no_profile;
    context.config = &config;
    context.scheme = &layer_scheme;
    context.profile = &no_profile;
    context.hidden = hidden;
    context.pool = &pool;
    const auto survey = stage->Survey(context, RandomLayer(config, l, 7));
    ASSERT_THAT(survey.status(), IsOk());
    ASSERT_EQ(survey->size(), 16u * 5);
    double tokens = 0, mass = 0;
    for (int e = 0; e < 16; ++e) {
      const double* r = &(*survey)[5 * e];
      tokens += r[0];
      mass += r[1];
      if (r[0] == 0) continue;
      EXPECT_GT(r[2], r[4]);  // two bits err more than four
    }
    EXPECT_EQ(tokens, 3 * 40 * config.experts_per_token);
    EXPECT_LT(mass, tokens);
    surveys.push_back(*survey);
  }
  const auto plan = stage->Allocate(problem, surveys);
  ASSERT_THAT(plan.status(), IsOk());
  const double stored = problem.StoredBitsPerWeight(*plan);
  EXPECT_LE(stored, 3.2 + kBudgetSlack);
  EXPECT_GE(stored, 3.2 - 1.0 / 96);  // one linear of the last layer: what others left is carried on
  std::map<int, int> widths;
  for (const auto& [id, grid] : *plan) {
    if (id.expert >= 0) ++widths[grid.bits];
  }
  EXPECT_GT(widths[3], 0);
  EXPECT_GT(widths[4], 0);
}

// The published widths and budgets, on which binary grids are among the choices.
TEST(Pmq, MeetsThePublishedBudgetsWithOneTwoAndThreeBits) {
  for (const double average : {1.5, 2.0, 2.5}) {
    const AllocatorRun run(SixteenExperts(), absl::StrCat("pmq { bits: [1, 2, 3] average_bits: ", average, " }"));
    ASSERT_THAT(run.status, IsOk());
    for (int l = 0; l < 4; ++l) {
      std::map<int, int> widths;
      int sum = 0;
      for (int e = 0; e < 16; ++e) {
        const GridSpec& grid = run.plan.at({l, Role::kUp, e});
        EXPECT_EQ(grid.kind, grid.bits == 1 ? GridKind::kBinary : GridKind::kAsymmetric);
        EXPECT_EQ(run.Bits({l, Role::kDown, e}), grid.bits);
        ++widths[grid.bits];
        sum += grid.bits;
      }
      EXPECT_LE(sum, average * 16);
      EXPECT_GE(sum, average * 16 - 1);
      EXPECT_GE(widths[2], 1);
      EXPECT_GE(widths[3], 1);
      EXPECT_GT(widths[1], 0);
      for (int e = 0; e < 16; ++e) {
        const double* r = &run.surveys[l][5 * e];
        // One bit may err less than two: it has the best size of a sign, these the range of the whole row.
        if (r[0] == 0) continue;
        EXPECT_GT(std::min(r[2], r[3]), r[4]);
      }
    }
  }
  // A bit and a scale of 16 a row: 1.25 to 1.33 stored bits a weight are the least there is.
  const AllocatorRun stored(SixteenExperts(), "pmq { bits: [1, 2, 3] keep_two_widest: false }", 1.6);
  ASSERT_THAT(stored.status, IsOk());
  EXPECT_NEAR(stored.StoredBits(), 1.6, 0.02);
}

TEST(Pmq, SaysWhatIsWrong) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Make("bits: 9").status(), invalid("pmq.bits is 9"));
  EXPECT_THAT(Make("average_bits: 0").status(), invalid("average_bits is 0"));
  EXPECT_THAT(Make("beta: -1").status(), invalid("expected 0 .. 16"));
  Rng rng(6, "pmq_test");
  const ModelConfig config = TwoLayers(4);
  const auto problem = *AllocationProblem::Create(config, FourBits());
  const std::vector<std::vector<double>> surveys = {MadeUp(4, rng), MadeUp(4, rng)};
  const auto stage = *Make("average_bits: 1.5");
  EXPECT_THAT(stage->Allocate(problem, surveys).status(), invalid("layer 0: pmq.average_bits"));
  const auto tight = *Make("average_bits: 2.5");  // 10 bits: 2 2 2 4 or 2 2 3 3, never 2 2 3 4
  EXPECT_THAT(tight->Allocate(problem, surveys).status(),
              invalid("keeps in layer 0 units at the widest width (at least 1)"));
}

}  // namespace
}  // namespace eaq

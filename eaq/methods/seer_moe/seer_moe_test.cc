// SEER-MoE's counts in float64, its choice of experts against sorting by hand, and what pruning leaves in account,
// report and file.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/methods/seer_moe/expert_counts.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/allocation_testing.h"
#include "eaq/recipe/walk_testing.h"

namespace eaq::seer_moe {
namespace {

using ::testing::HasSubstr;

constexpr int kWeights = 3 * 64 * 48;  // of an expert of SixteenExperts()

absl::StatusOr<std::unique_ptr<AllocateSlot>> Make(const std::string& options) {
  return MakeAllocator("seer_moe", options);
}

TEST(SeerMoe, CountsChoicesOrProbabilities) {
  const ModelConfig config = TinyConfig();
  const LayerParams params = RandomLayer(config, 1, 5);
  const auto layer = BuildLayer(config, params).value();
  Rng rng(2, "seer_moe_test");
  std::vector<Matrix> hidden(3, Matrix(20, config.hidden_size));
  for (Matrix& h : hidden) {
    for (int64_t i = 0; i < h.size(); ++i) h.data()[i] = static_cast<float>(rng.Normal());
  }
  class Recorder : public LayerObserver {
   public:
    void OnRouter(int, ConstMatrixView z, absl::Span<const int32_t> e, absl::Span<const float>) override {
      for (const int32_t expert : e) hard[expert] += 1;
      for (int64_t t = 0; t < z.rows; ++t) {
        double sum = 0;
        for (int64_t i = 0; i < z.cols; ++i) sum += std::exp(static_cast<double>(z(t, i)));
        for (int64_t i = 0; i < z.cols; ++i) soft[i] += std::exp(static_cast<double>(z(t, i))) / sum;
      }
    }
    std::map<int, double> hard, soft;
  } recorder;
  for (const Matrix& h : hidden) {
    Matrix out = h;
    layer->Forward(out.view(), &recorder);
  }
  ThreadPool pool(2);
  const std::vector<double> hard = CountExperts(config, *layer, hidden, false, pool);
  const std::vector<double> soft = CountExperts(config, *layer, hidden, true, pool);
  double all = 0;
  for (int e = 0; e < 8; ++e) {
    EXPECT_EQ(hard[e], recorder.hard[e]);
    EXPECT_NEAR(soft[e], recorder.soft[e], 1e-9);
    all += soft[e];
  }
  EXPECT_NEAR(all, 60, 1e-9);
}

std::set<std::pair<int, int>> Pruned(const BitPlan& plan) {
  std::set<std::pair<int, int>> pruned;
  for (const auto& [id, grid] : plan) {
    if (grid.bits == 0) pruned.insert({id.layer, id.expert});
  }
  return pruned;
}

TEST(SeerMoe, PrunesTheLeastUsedByLayerOrOverall) {
  const ModelConfig config = TwoLayers(8);
  const auto problem = *AllocationProblem::Create(config, FourBits());
  const std::vector<std::vector<double>> counts = {{9, 1, 8, 2, 7, 3, 6, 5}, {4, 4, 30, 31, 4, 32, 33, 34}};
  using Experts = std::set<std::pair<int, int>>;
  const auto pruned = [&](const std::string& options) {
    const auto plan = (*Make(options))->Allocate(problem, counts);
    EXPECT_THAT(plan.status(), IsOk());
    for (const auto& [id, grid] : *plan) {
      EXPECT_TRUE(grid.bits == 4 || grid.bits == 0);
    }
    return Pruned(*plan);
  };
  EXPECT_EQ(pruned(""), (Experts{{0, 1}, {0, 3}, {1, 1}, {1, 4}}));  // of equals the last first
  EXPECT_EQ(pruned("share: 0.2"), (Experts{{0, 1}, {1, 4}}));        // 1.6 of 8
  EXPECT_EQ(pruned("scope: MODEL"), (Experts{{0, 1}, {0, 3}, {0, 5}, {1, 4}}));
  EXPECT_EQ(pruned("share: 0"), Experts());
  // Two experts a token: never fewer are left, and what a layer may not give another does not make up for.
  EXPECT_EQ(pruned("share: 0.9").size(), 12u);
  EXPECT_EQ(pruned("scope: MODEL share: 0.5"),
            (Experts{{0, 1}, {0, 3}, {0, 5}, {0, 7}, {0, 6}, {1, 4}, {1, 1}, {1, 0}}));
}

TEST(SeerMoe, MeetsABudgetByPruningAsFewAsNeeded) {
  for (const std::string scope : {"LAYER", "MODEL"}) {
    for (const double budget : {4.3, 3.5, 3.0, 2.25}) {
      const AllocatorRun run(SixteenExperts(), "seer_moe { scope: " + scope + " }", budget);
      ASSERT_THAT(run.status, IsOk());
      EXPECT_LE(run.StoredBits(), budget + kBudgetSlack);
      EXPECT_GE(run.StoredBits(), budget - kBudgetSlack - 1.0 / 192);  // one bit more for one linear
      std::map<int, int> left;
      double least_kept = 1e300, most_pruned = -1;
      for (const AllocationUnit& unit : RoutedExperts(run.problem)) {
        const int bits = run.Bits(unit.linears[0]);
        const double count = run.surveys[unit.layer][unit.expert];
        left[unit.layer] += bits > 0;
        (bits > 0 ? least_kept : most_pruned) = bits > 0 ? std::min(least_kept, count) : std::max(most_pruned, count);
        for (const LinearId& id : unit.linears) EXPECT_EQ(run.Bits(id) == 0, bits == 0);
        for (const LinearId& id : unit.linears) EXPECT_TRUE(run.Bits(id) == 0 || run.Bits(id) >= 4);
      }
      if (scope == "MODEL") EXPECT_LE(most_pruned, least_kept);
      // With one expert fewer pruned, the scheme's width alone would be too much.
      const double four = 4 + (16.0 + 4) / 64;
      const int64_t kept = std::accumulate(left.begin(), left.end(), int64_t{0},
                                           [](int64_t sum, const auto& layer) { return sum + layer.second; });
      if (kept < 64) EXPECT_GT(four * static_cast<double>(kept + 1) / 64, budget + kBudgetSlack - 0.1);
      if (scope == "LAYER") {
        EXPECT_LE(left.rbegin()->second - left.begin()->second, 1);
      }
    }
  }
  const AllocatorRun tight(SixteenExperts(), "seer_moe {}", 0.3);
  EXPECT_THAT(tight.status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("with 56 of 64 experts pruned")));
}

constexpr char kRest[] =
    " calibration { random {} } router { keep {} } activation { dynamic {} } solve { nearest {} } ";

TEST(SeerMoe, WorksAloneInFullPrecisionAndInTheFile) {
  const WalkRun run(SixteenExperts(), std::string(kRest) + "allocate { seer_moe {} }", Scheme());
  ASSERT_THAT(run.status, IsOk());
  int pruned = 0;
  for (int l = 0; l < 4; ++l) {
    ASSERT_NE(run.params[l].routing, nullptr);
    EXPECT_EQ(run.params[l].routing->kept.size(), 12u);
    for (int e = 0; e < 16; ++e) {
      const bool kept = run.params[l].routing->Keeps(e);
      const LinearReport& up = run.Report(LinearId{l, Role::kUp, e}.ToString());
      EXPECT_EQ(up.bits(), kept ? 16 : 0);
      EXPECT_EQ(up.stored_bits(), kept ? 16 * 64 * 48 : 0);
      EXPECT_EQ(up.note(), kept ? "" : "pruned");
      if (kept) continue;
      ++pruned;
      EXPECT_EQ(run.reads[l].count(e), 0u);
    }
    EXPECT_EQ(run.Report(absl::StrCat("L", l, ".router")).note(), "4 of 16 experts pruned");
    EXPECT_EQ(run.Report(absl::StrCat("L", l, ".router")).stored_bits(), 16 * 12 * 64);
  }
  EXPECT_EQ(pruned, 16);
  const ModelSize& size = run.report.size;
  const int64_t gone = 16 * (kWeights + 64);  // experts and their rows of the router
  EXPECT_EQ(size.quantized.weights, gone);
  EXPECT_EQ(size.quantized.total_bytes(), 0);
  EXPECT_EQ(size.unquantized_parameters, size.parameters() - gone);
  EXPECT_DOUBLE_EQ(size.bits_per_quantized_weight(), 16.0 * (1 - static_cast<double>(gone) / size.parameters()));
  EXPECT_DOUBLE_EQ(size.bits_per_parameter(), size.bits_per_quantized_weight());
  EXPECT_EQ(run.FromFile(JoinPath(::testing::TempDir(), "pruned.safetensors")), run.out);
}

TEST(SeerMoe, WorksWithQuantizationOfTheRestOnWhatIsLeft) {
  const WalkRun run(SixteenExperts(),
                    "calibration { random {} } router { keep {} } activation { dynamic {} } solve { gptq {} } "
                    "allocate { seer_moe { count: SOFT scope: MODEL } }",
                    FourBits());
  ASSERT_THAT(run.status, IsOk());
  int64_t tokens = 0, kept = 0;
  for (const LinearReport& linear : run.report.linears) {
    const LinearId id = *LinearId::Parse(linear.id());
    if (id.expert < 0) continue;
    EXPECT_TRUE(linear.bits() == 4 || linear.bits() == 0);
    EXPECT_EQ(run.packed.linears.count(linear.id()), linear.bits() == 4 ? 1u : 0u);
    if (id.role == Role::kGate && id.layer == 2) tokens += linear.calibration_tokens(), kept += linear.bits() == 4;
  }
  EXPECT_GT(kept, 2);
  EXPECT_EQ(tokens, 4 * 48 * 2);  // calibrated where pruned experts are gone: the others read their tokens
  EXPECT_EQ(run.FromFile(JoinPath(::testing::TempDir(), "pruned4.safetensors")), run.out);
  int64_t bytes = 0;
  for (const auto& [name, linear] : run.packed.linears) bytes += linear.size().total_bytes();
  EXPECT_EQ(run.report.size.quantized.total_bytes(), bytes);
  EXPECT_LT(run.report.size.bits_per_quantized_weight(), 3.5);  // 4 bits and scales, a quarter of the experts at 0

  const std::string folder = JoinPath(::testing::TempDir(), "seer_moe_cache");
  for (const int threads : {1, 3}) {
    const WalkRun again(SixteenExperts(),
                        "calibration { random {} } router { keep {} } activation { dynamic {} } solve { gptq {} } "
                        "allocate { seer_moe { count: SOFT scope: MODEL } }",
                        FourBits(), threads, folder);
    ASSERT_THAT(again.status, IsOk());
    EXPECT_EQ(again.out, run.out);
  }
}

TEST(SeerMoe, SaysWhatIsWrong) {
  EXPECT_THAT(Make("share: 1").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("seer_moe.share is 1")));
}

}  // namespace
}  // namespace eaq::seer_moe

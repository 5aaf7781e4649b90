// The search of ranges with salient weights apart, against the same in float64 written out.
#include "eaq/quant/salient_search.h"

#include <algorithm>
#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/gptq.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Matrix RandomWeights(int64_t rows, int64_t cols) {
  Rng rng(4, "salient_search_test/weights");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(0.05 * rng.Normal());
  return w;
}

std::vector<double> RandomDiagonal(int64_t cols) {
  Rng rng(4, "salient_search_test/diagonal");
  std::vector<double> u;
  for (int64_t c = 0; c < cols; ++c) u.push_back(std::exp(rng.Normal()));
  return u;
}

TEST(SalientWeights, AreThoseFarOffTheMeanOfTheGroup) {
  Matrix w(2, 4);
  const float values[] = {1, -1, 2, 2, 1, 1, -6, 1};
  std::copy_n(values, 8, w.data());
  // Saliences 1 1 1 4 1 1 9 1, the third column being divided by 2. Mean 2.375, standard deviation with n - 1 2.876: at
  // 2 deviations only 9 is off, at 0.55 4 is as well, at 0.4 all are, 1 on the other side.
  const std::vector<double> u = {1, 1, 2, 1};
  EXPECT_THAT(SalientWeights(w.const_view(), u, 2), ElementsAre(0, 0, 0, 0, 0, 0, 1, 0));
  EXPECT_THAT(SalientWeights(w.const_view(), u, 0.55), ElementsAre(0, 0, 0, 1, 0, 0, 1, 0));
  EXPECT_THAT(SalientWeights(w.const_view(), u, 0.4), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(SalientWeights(w.const_view(), u, 9), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
}

TEST(SearchSalient, FindsTheBestOfAllRanges) {
  const Matrix w = RandomWeights(12, 32);
  const std::vector<double> u = RandomDiagonal(32);
  for (const int bits : {2, 3}) {
    for (const double weight : {0.0, 1.0, 30.0}) {
      const GridSpec grid{.bits = bits, .granularity = Granularity::kGroup, .group_size = 32};
      const SalientSearchSpec spec{.weight = weight, .deviations = 1.5};
      EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, SearchSalient(w.const_view(), u, grid, spec));
      const std::vector<uint8_t> salient = SalientWeights(w.const_view(), u, 1.5);
      EXPECT_GT(std::count(salient.begin(), salient.end(), 1), 0);
      for (int64_t r = 0; r < 12; ++r) {
        const auto error = [&](GridParams p) {
          double sum = 0;
          for (int64_t c = 0; c < 32; ++c) {
            const double top = (1 << bits) - 1;
            const double q = std::clamp(std::nearbyint(static_cast<double>(w(r, c) / p.scale)) + p.zero, 0.0, top);
            const double e = std::pow(std::fabs(p.scale * (q - p.zero) - w(r, c)), 2.4);
            sum += salient[32 * r + c] != 0 ? weight * e : e;
          }
          return sum;
        };
        const Range range = RangeWithZero(w.const_view().row_span(r));
        double least = 1e300;
        for (int i = -50; i <= 50; ++i) {
          const auto p = static_cast<float>(1 + 0.1 * i / 50);
          least = std::min(least, error(*ParamsFromRange(grid, p * range.min, p * range.max, ScaleStorage::kFloat16)));
        }
        EXPECT_NEAR(error(grids[r]), least, 1e-5 * least) << bits << " " << weight << " row " << r;
      }
    }
  }
}

TEST(SearchSalient, BinaryGroupsHaveNoRangeAndTiesKeepTheWholeOne) {
  const Matrix w = RandomWeights(3, 8);
  const std::vector<double> u(8, 1.0);
  const GridSpec binary = WithBits({.bits = 2, .granularity = Granularity::kGroup, .group_size = 8}, 1);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto grids, SearchSalient(w.const_view(), u, binary, {}));
  for (int64_t r = 0; r < 3; ++r) EXPECT_EQ(grids[r], BinaryParams(w.const_view().row_span(r)));
  const Matrix zeros(1, 8);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto plain, FindGrids(zeros.const_view(), {.bits = 3}));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto found, SearchSalient(zeros.const_view(), u, {.bits = 3}, {}));
  EXPECT_EQ(found, plain);
  EXPECT_THAT(SearchSalient(w.const_view(), u, {.bits = 3}, {.range = 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a range inside 0 .. 1")));
}

// With static groups the grids are those of the weights as they come, group by group.
TEST(SearchSalient, IsHowGptqFindsItsGrids) {
  const Matrix w = RandomWeights(5, 24);
  Rng rng(4, "salient_search_test/inputs");
  Matrix x(200, 24);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.Normal() * (1 + i % 24 % 5));
  HessianAccumulator moments(24);
  ASSERT_THAT(moments.Add(x.const_view()), IsOk());
  const Hessian h = moments.Finish();
  const GridSpec spec{.bits = 2, .granularity = Granularity::kGroup, .group_size = 8};
  GptqOptions options;
  options.act_order = false;
  options.group_bits = {1, 2, 3};
  options.salient.emplace();
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> u, InverseFactorDiagonal(h, options.damping));
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult fixed, GptqSolve(w.view(), h, spec, options));
  options.static_groups = false;
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult found, GptqSolve(w.view(), h, spec, options));
  for (int g = 0; g < 3; ++g) {
    Matrix group(5, 8);
    for (int64_t r = 0; r < 5; ++r) std::copy_n(w.row(r) + 8 * g, 8, group.row(r));
    EAQ_ASSERT_OK_AND_ASSIGN(
        const auto expected,
        SearchSalient(group.const_view(), absl::MakeConstSpan(u).subspan(8 * g, 8), WithBits(spec, g + 1), {}));
    for (int64_t r = 0; r < 5; ++r) {
      EXPECT_EQ(fixed.weight.params[3 * r + g], expected[r]);
      if (g > 0) continue;
      EXPECT_EQ(found.weight.params[3 * r], expected[r]);  // nothing has moved yet
    }
  }
  EXPECT_NE(found.weight.params, fixed.weight.params);
}

}  // namespace
}  // namespace eaq

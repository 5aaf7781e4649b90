#include "eaq/methods/eaquant/alignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/ratio_search.h"

namespace eaq::eaquant {
namespace {

using ::testing::HasSubstr;

Matrix Random(int64_t rows, int64_t cols, double size, const std::string& stream) {
  Rng rng(3, stream);
  Matrix m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(size * rng.Normal());
  return m;
}

// From the definition, with softmax written out.
double NaiveKl(const Matrix& z, const Matrix& zq, int64_t top, AlignedRouter::TopSum kind) {
  double total = 0;
  for (int64_t t = 0; t < z.rows(); ++t) {
    std::vector<double> p(z.cols()), q(z.cols());
    double sp = 0, sq = 0;
    for (int64_t e = 0; e < z.cols(); ++e) sp += p[e] = std::exp(double{z(t, e)});
    for (int64_t e = 0; e < z.cols(); ++e) sq += q[e] = std::exp(double{zq(t, e)});
    std::vector<int> order(z.cols());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return z(t, a) > z(t, b); });
    double set_p = 0, set_q = 0;
    for (int64_t i = 0; i < z.cols(); ++i) {
      p[i] /= sp;
      q[i] /= sq;
    }
    for (int64_t i = 0; i < top; ++i) {
      set_p += p[order[i]];
      set_q += q[order[i]];
    }
    for (int64_t i = 0; i < top; ++i) {
      const int e = order[i];
      if (kind == AlignedRouter::RENORMALIZED) {
        total += p[e] / set_p * std::log(p[e] / set_p / (q[e] / set_q));
      } else {
        total += p[e] * std::log(p[e] / q[e]);
      }
    }
    if (kind == AlignedRouter::TAIL_BUCKET && top < z.cols())
      total += (1 - set_p) * std::log((1 - set_p) / (1 - set_q));
  }
  return total / z.rows();
}

TEST(EaquantAlignment, KlTopEqualsTheNaiveTwin) {
  const Matrix z = Random(9, 8, 1.5, "z"), zq = Random(9, 8, 1.5, "zq");
  for (const auto kind : {AlignedRouter::AS_PUBLISHED, AlignedRouter::RENORMALIZED, AlignedRouter::TAIL_BUCKET}) {
    EXPECT_EQ(KlTop(z, zq, 0, kind), 0);
    for (int64_t top = 1; top <= 8; ++top) {
      EXPECT_NEAR(KlTop(z, zq, top, kind), NaiveKl(z, zq, top, kind), 1e-9) << top << " " << kind;
      EXPECT_NEAR(KlTop(z, z, top, kind), 0, 1e-12);
    }
  }
  // Over all experts the three are the same divergence.
  const double full = KlTop(z, zq, 8, AlignedRouter::AS_PUBLISHED);
  EXPECT_NEAR(KlTop(z, zq, 8, AlignedRouter::RENORMALIZED), full, 1e-12);
  EXPECT_NEAR(KlTop(z, zq, 8, AlignedRouter::TAIL_BUCKET), full, 1e-12);
}

// Pitfall 2 of eaquant.md 7: a sharper router scores below 0 as published, above it in the two sound variants.
TEST(EaquantAlignment, SharperRoutersCheatThePublishedSumAlone) {
  const Matrix z = Random(200, 64, 1, "pitfall");
  Matrix sharper = z;
  for (int64_t i = 0; i < sharper.size(); ++i) sharper.data()[i] *= 1.1f;
  EXPECT_LT(KlTop(z, sharper, 8, AlignedRouter::AS_PUBLISHED), -0.01);
  EXPECT_GT(KlTop(z, sharper, 8, AlignedRouter::RENORMALIZED), 0);
  EXPECT_GT(KlTop(z, sharper, 8, AlignedRouter::TAIL_BUCKET), 0);
  EXPECT_GT(KlTop(z, sharper, 64, AlignedRouter::AS_PUBLISHED), 0);
}

TEST(EaquantAlignment, SurvivesLogitsBeyondFloatExponents) {
  Matrix z = Random(3, 8, 1, "big"), zq = z;
  z(1, 2) = 3000;
  zq(1, 2) = -3000;
  for (const auto kind : {AlignedRouter::AS_PUBLISHED, AlignedRouter::RENORMALIZED, AlignedRouter::TAIL_BUCKET}) {
    EXPECT_TRUE(std::isfinite(KlTop(z, zq, 2, kind))) << kind;
    EXPECT_GT(KlTop(z, zq, 2, kind), 100) << kind;
  }
}

TEST(EaquantAlignment, TopSizes) {
  EXPECT_EQ(TopSize(8, 64, 0), 8);
  EXPECT_EQ(TopSize(8, 64, 0.25), 22);
  EXPECT_EQ(TopSize(8, 64, 1), 64);
  EXPECT_EQ(TopSize(2, 7, 0.5), 4);
}

// All 101 candidates in float64, every objective written out from the table of eaquant.md 1.5.
TEST(EaquantAlignment, SearchEqualsBruteForce) {
  const Matrix w = Random(6, 20, 0.3, "w"), a = Random(30, 20, 1, "a");
  for (const int bits : {3, 4, 8}) {
    const GridSpec grid{.bits = bits};
    for (const double first : {0.35, 0.65}) {
      for (const auto objective : {AlignedRouter::MSE_KL_TOP, AlignedRouter::KL_TOP, AlignedRouter::LINEAR,
                                   AlignedRouter::LINEAR_KL_TOP, AlignedRouter::WEIGHT_MSE}) {
        for (const auto kind : {AlignedRouter::AS_PUBLISHED, AlignedRouter::RENORMALIZED}) {
          const AlignmentOptions options{.objective = objective, .top_sum = kind, .top = 2, .first_ratio = first};
          EAQ_ASSERT_OK_AND_ASSIGN(const RouterAlignment found, AlignRouter(w.view(), a, grid, options));
          std::vector<std::vector<double>> scores;  // [candidate][row or one]
          for (int t = 0; t <= 100; ++t) {
            std::vector<GridParams> grids;
            for (int64_t e = 0; e < 6; ++e)
              grids.push_back(
                  GridAtRatio(RatioRange(w.view().row_span(e), false), grid, first + t * (1 - first) / 100, false));
            const Matrix q = Dequantize(*QuantizeOnGrids(w.view(), grid, grids));
            Matrix z(30, 6), zq(30, 6);
            std::vector<double> sse(6, 0.0), weight(6, 0.0);
            for (int64_t e = 0; e < 6; ++e) {
              for (int64_t c = 0; c < 20; ++c) weight[e] += std::pow(double{w(e, c)} - q(e, c), 2);
              for (int64_t r = 0; r < 30; ++r) {
                double x = 0, y = 0;
                for (int64_t c = 0; c < 20; ++c) {
                  x += double{a(r, c)} * w(e, c);
                  y += double{a(r, c)} * q(e, c);
                }
                z(r, e) = static_cast<float>(x);
                zq(r, e) = static_cast<float>(y);
                sse[e] += (x - y) * (x - y);
              }
            }
            const double kl = NaiveKl(z, zq, 2, kind), mse = std::accumulate(sse.begin(), sse.end(), 0.0) / 180;
            std::vector<double> score;
            if (objective == AlignedRouter::MSE_KL_TOP) score = {mse + kl};
            if (objective == AlignedRouter::KL_TOP) score = {kl};
            if (objective == AlignedRouter::LINEAR) score = sse;
            if (objective == AlignedRouter::WEIGHT_MSE) score = weight;
            if (objective == AlignedRouter::LINEAR_KL_TOP) {
              score = sse;
              for (double& s : score) s += kl;
            }
            scores.push_back(score);
          }
          ASSERT_EQ(found.ratios.size(), scores[0].size());
          for (size_t i = 0; i < found.ratios.size(); ++i) {
            double best = std::numeric_limits<double>::infinity();
            for (const auto& s : scores) best = std::min(best, s[i]);
            const int chosen = static_cast<int>(std::lround((found.ratios[i] - first) / (1 - first) * 100));
            // Float32 products against float64 ones: the same candidate, or one as good.
            EXPECT_NEAR(scores[chosen][i], best, 1e-4 * std::fabs(best) + 1e-7) << bits << " " << objective;
          }
        }
      }
    }
  }
}

TEST(EaquantAlignment, TiesKeepTheSmallerRatio) {
  // Zero rows read: all logits are 0 whatever the weight.
  const Matrix w = Random(4, 8, 1, "w"), a(5, 8);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto found, AlignRouter(w.view(), a, {.bits = 8}, {.top = 2, .first_ratio = 0.65}));
  EXPECT_EQ(found.ratios, std::vector<double>{0.65});
}

TEST(EaquantAlignment, ErrorsSayWhat) {
  const GridSpec grid{.bits = 8};
  Matrix w = Random(4, 8, 1, "w"), a = Random(5, 8, 1, "a");
  const auto expect = [&](const GridSpec& g, const AlignmentOptions& options, const std::string& text) {
    EXPECT_THAT(AlignRouter(w.view(), a, g, options).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  expect(grid, {.top = 5}, "top set of 5; expected 0 .. 4");
  expect({.bits = 8, .granularity = Granularity::kTensor}, {.top = 2}, "PER_CHANNEL");
  expect(grid, {.top = 2, .first_ratio = 0}, "starts at 0");
  a(2, 2) = std::nanf("");
  expect(grid, {.top = 2}, "NaN or infinity among the rows");
  a = Matrix(0, 8);
  expect(grid, {.top = 2}, "without calibration tokens");
  a = Random(5, 8, 1, "a");
  w(1, 1) = std::numeric_limits<float>::infinity();
  expect(grid, {.top = 2}, "in row 1 of the weight");
}

}  // namespace
}  // namespace eaq::eaquant

#include "eaq/quant/gptq.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/fake_quant.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

Matrix RandomWeights(int64_t rows, int64_t cols, uint64_t seed = 1) {
  Rng rng(seed, "test/weights");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(0.05 * rng.Normal());
  return w;
}

// Correlated inputs with a few loud channels, as activations are: x = mixed noise, scaled per channel.
Hessian CorrelatedHessian(int64_t n, int64_t tokens, uint64_t seed = 2) {
  Rng rng(seed, "test/inputs");
  Matrix x(tokens, n);
  for (int64_t t = 0; t < tokens; ++t) {
    const double shared = rng.Normal(), other = rng.Normal();
    for (int64_t c = 0; c < n; ++c) {
      const double loud = c % 11 == 3 ? 5.0 : 1.0;
      x(t, c) = static_cast<float>(loud * (rng.Normal() + shared + 0.7 * std::sin(0.3 * c) * other));
    }
  }
  HessianAccumulator acc(n);
  EXPECT_THAT(acc.Add(x.view()), IsOk());
  return acc.Finish();
}

Hessian Diagonal(const std::vector<double>& d) {
  Hessian h;
  h.size = d.size();
  h.tokens = 1;
  h.values.assign(d.size() * d.size(), 0.0);
  for (size_t i = 0; i < d.size(); ++i) h.values[i * d.size() + i] = d[i];
  return h;
}

GridSpec Spec(int bits, int64_t group = 0) {
  GridSpec spec = WithBits({}, bits);
  spec.granularity = group > 0 ? Granularity::kGroup : Granularity::kChannel;
  spec.group_size = group;
  return spec;
}

// The textbook (OBQ in a fixed order): per row, with the explicit inverse of the damped H, eliminating each column from
// it after use: e = (w_i - q) / Hinv_ii;  w -= e Hinv[i, :];  Hinv -= Hinv[:, i] Hinv[i, :] / Hinv_ii.
std::vector<double> Inverse(std::vector<double> a, int64_t n) {  // Gauss-Jordan, pivots on the diagonal (a is SPD)
  std::vector<double> inv(n * n, 0.0);
  for (int64_t i = 0; i < n; ++i) inv[i * n + i] = 1.0;
  for (int64_t i = 0; i < n; ++i) {
    const double pivot = a[i * n + i];
    for (int64_t j = 0; j < n; ++j) a[i * n + j] /= pivot, inv[i * n + j] /= pivot;
    for (int64_t k = 0; k < n; ++k) {
      const double f = a[k * n + i];
      if (k == i || f == 0.0) continue;
      for (int64_t j = 0; j < n; ++j) a[k * n + j] -= f * a[i * n + j], inv[k * n + j] -= f * inv[i * n + j];
    }
  }
  return inv;
}

QuantizedMatrix TextbookGptq(const Matrix& w, const Hessian& hessian, const GridSpec& spec,
                             const GptqOptions& options) {
  const int64_t n = w.cols();
  auto q = QuantizeNearest(w.view(), spec, nullptr, options.group_bits);
  EXPECT_THAT(q, IsOk());
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  if (options.act_order) {
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return hessian.at(a, a) > hessian.at(b, b); });
  }
  std::vector<double> damped = hessian.values;
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += hessian.at(i, i) / n;
  for (int64_t i = 0; i < n; ++i) damped[i * n + i] += options.damping * mean;
  const std::vector<double> inverse = Inverse(damped, n);
  for (int64_t r = 0; r < w.rows(); ++r) {
    std::vector<double> row(w.row(r), w.row(r) + n), hinv = inverse;
    for (const int64_t i : order) {
      const GridParams p = q->ParamsAt(r, i);
      const int max_code = options.group_bits.empty()
                               ? spec.max_code()
                               : WithBits(spec, options.group_bits[i / spec.group_size]).max_code();
      const uint8_t code = QuantizeCode(static_cast<float>(row[i]), p, max_code);
      q->codes[r * n + i] = code;
      const double e = (row[i] - DequantizeCode(code, p)) / hinv[i * n + i];
      for (int64_t j = 0; j < n; ++j) row[j] -= e * hinv[i * n + j];
      const std::vector<double> column_i(hinv.begin() + i * n, hinv.begin() + (i + 1) * n);
      for (int64_t a = 0; a < n; ++a) {
        for (int64_t b = 0; b < n; ++b) hinv[a * n + b] -= column_i[a] * column_i[b] / column_i[i];
      }
    }
  }
  return *q;
}

TEST(GptqTest, MatchesTheTextbook) {
  const Matrix w = RandomWeights(6, 48);
  for (const int64_t tokens : {20, 400}) {  // fewer tokens than inputs: singular without damping
    const Hessian h = CorrelatedHessian(48, tokens);
    for (const bool act_order : {false, true}) {
      for (const GridSpec& spec : {Spec(1), Spec(2), Spec(4), Spec(3, 16), Spec(1, 16)}) {
        GptqOptions options;
        options.act_order = act_order;
        options.block = 16;
        EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), h, spec, options));
        const QuantizedMatrix expected = TextbookGptq(w, h, spec, options);
        EXPECT_EQ(got.weight.params, expected.params);
        EXPECT_EQ(got.weight.codes, expected.codes)
            << spec.ToString() << " tokens " << tokens << " order " << act_order;
        EXPECT_EQ(got.report.damping_used, 0.01);
      }
    }
  }
}

TEST(GptqTest, DiagonalHessianIsRoundingToNearest) {
  const Matrix w = RandomWeights(5, 40);
  std::vector<double> d(40);
  for (int i = 0; i < 40; ++i) d[i] = 0.1 + (i * 7) % 13;
  for (const Hessian& h : {Diagonal(std::vector<double>(40, 1.0)), Diagonal(d)}) {
    for (const GridSpec& spec : {Spec(2), Spec(4, 8)}) {
      for (const bool static_groups : {false, true}) {
        GptqOptions options;
        options.static_groups = static_groups;
        options.act_order = static_groups;
        EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), h, spec, options));
        EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix nearest, QuantizeNearest(w.view(), spec));
        EXPECT_EQ(got.weight, nearest);
        EXPECT_EQ(got.report.loss, got.report.nearest_loss);
      }
    }
  }
}

TEST(GptqTest, BlockSizeChangesNothing) {
  const Matrix w = RandomWeights(8, 96);
  const Hessian h = CorrelatedHessian(96, 500);
  for (const bool static_groups : {true, false}) {
    for (const GridSpec& spec : {Spec(3), Spec(2, 24)}) {
      GptqOptions options;
      options.static_groups = static_groups;
      options.block = 96;
      EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult whole, GptqSolve(w.view(), h, spec, options));
      for (const int64_t block : {1, 7, 32, 64, 200}) {
        options.block = block;
        EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), h, spec, options));
        EXPECT_EQ(got.weight, whole.weight) << block << " " << spec.ToString() << " static " << static_groups;
      }
    }
  }
}

TEST(GptqTest, ScaleOfTheHessianChangesNothing) {
  const Matrix w = RandomWeights(8, 64);
  Hessian h = CorrelatedHessian(64, 300);
  for (int64_t i = 0; i < 64; ++i) h.values[5 * 64 + i] = h.values[i * 64 + 5] = 0.0;  // a dead column as well
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult one, GptqSolve(w.view(), h, Spec(3), {}));
  for (const double factor : {0x1p-60, 0x1p-10, 0x1p40}) {
    Hessian scaled = h;
    for (double& value : scaled.values) value *= factor;
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), scaled, Spec(3), {}));
    EXPECT_EQ(got.weight, one.weight) << factor;
    EXPECT_NEAR(got.report.loss, factor * one.report.loss, 1e-9 * factor * one.report.loss);
  }
}

TEST(GptqTest, LosesLessThanRoundingToNearest) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Matrix w = RandomWeights(16, 64, seed);
    const Hessian h = CorrelatedHessian(64, 256, seed);
    for (const GridSpec& spec : {Spec(2), Spec(3), Spec(4), Spec(2, 32)}) {
      for (const bool act_order : {false, true}) {
        GptqOptions options;
        options.act_order = act_order;
        EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), h, spec, options));
        EXPECT_LT(got.report.loss, 0.8 * got.report.nearest_loss) << spec.ToString() << " seed " << seed;
        EXPECT_NEAR(got.report.loss, HessianLoss(w.view(), Dequantize(got.weight).const_view(), h) / 256,
                    1e-9 * got.report.loss);
      }
    }
  }
}

TEST(GptqTest, HessianLossIsTheOutputError) {
  const Matrix w = RandomWeights(3, 10), q = RandomWeights(3, 10, 9);
  Rng rng(1, "test/x");
  Matrix x(50, 10);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.Normal());
  HessianAccumulator acc(10);
  EAQ_ASSERT_OK(acc.Add(x.view()));
  double expected = 0;
  for (int64_t t = 0; t < 50; ++t) {
    for (int64_t r = 0; r < 3; ++r) {
      double y = 0;
      for (int64_t c = 0; c < 10; ++c) y += (static_cast<double>(w(r, c)) - q(r, c)) * x(t, c);
      expected += y * y;
    }
  }
  EXPECT_NEAR(HessianLoss(w.view(), q.view(), acc.Finish()), expected, 1e-5 * expected);
}

TEST(GptqTest, GroupsFoundOnTheWay) {
  const Matrix w = RandomWeights(12, 64);
  const Hessian h = CorrelatedHessian(64, 300);
  GptqOptions options;
  options.static_groups = false;
  options.act_order = false;
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult plain, GptqSolve(w.view(), h, Spec(2, 16), options));
  EXPECT_TRUE(plain.weight.group_of_column.empty());
  EXPECT_LT(plain.report.loss, plain.report.nearest_loss);
  // The first group's grid is found before any update: it is the static one.
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<GridParams> grids, FindGrids(w.view(), Spec(2, 16)));
  for (int64_t r = 0; r < 12; ++r) EXPECT_EQ(plain.weight.params[r * 4], grids[r * 4]);

  // Stale grids: within one block they are the static ones of the untouched weights; on block borders both agree.
  options.stale_group_grids = true;
  options.block = 64;
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult stale, GptqSolve(w.view(), h, Spec(2, 16), options));
  EXPECT_EQ(stale.weight.params, grids);
  EXPECT_NE(plain.weight.params, grids);
  options.block = 16;
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult border, GptqSolve(w.view(), h, Spec(2, 16), options));
  EXPECT_EQ(border.weight, plain.weight);

  // With act-order the groups are scattered columns, each of the right size.
  options = GptqOptions();
  options.static_groups = false;
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult scattered, GptqSolve(w.view(), h, Spec(2, 16), options));
  EAQ_ASSERT_OK(ValidateQuantized(scattered.weight));
  std::vector<int> members(4, 0);
  for (const int32_t group : scattered.weight.group_of_column) ++members[group];
  EXPECT_EQ(members, std::vector<int>(4, 16));
  for (const int64_t loud : {3, 14, 25, 36, 47, 58}) EXPECT_EQ(scattered.weight.group_of_column[loud], 0);
}

TEST(GptqTest, AnIdleExpertIsRoundedNeverZeroed) {
  const Matrix w = RandomWeights(4, 32);
  const Hessian none = Diagonal(std::vector<double>(32, 0.0));
  for (const bool zero_dead : {false, true}) {
    GptqOptions options;
    options.zero_dead_columns = zero_dead;
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), none, Spec(4), options));
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix nearest, QuantizeNearest(w.view(), Spec(4)));
    EXPECT_EQ(got.weight, nearest);
    EXPECT_TRUE(got.report.fell_back_to_nearest);
    EXPECT_THAT(got.report.note, HasSubstr("no calibration token"));
  }
}

TEST(GptqTest, AnExpertWithOneTokenIsSolved) {
  const Matrix w = RandomWeights(4, 32);
  const Hessian one = CorrelatedHessian(32, 1);
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), one, Spec(3), {}));
  EXPECT_FALSE(got.report.fell_back_to_nearest);
  EXPECT_LT(got.report.loss, 0.1 * got.report.nearest_loss) << "one direction of inputs is easily made right";
}

TEST(GptqTest, DeadColumnsAreRoundedOrZeroed) {
  const Matrix w = RandomWeights(4, 32);
  Hessian h = CorrelatedHessian(32, 200);
  for (int64_t i = 0; i < 32; ++i) h.values[7 * 32 + i] = h.values[i * 32 + 7] = 0.0;
  for (const GridSpec& spec : {Spec(4), Spec(4, 8)}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult rounded, GptqSolve(w.view(), h, spec, {}));
    EXPECT_EQ(rounded.report.dead_columns, 1);
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix nearest, QuantizeNearest(w.view(), spec));
    GptqOptions zero;
    zero.zero_dead_columns = true;
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult zeroed, GptqSolve(w.view(), h, spec, zero));
    const Matrix nearest_w = Dequantize(nearest), rounded_w = Dequantize(rounded.weight),
                 zeroed_w = Dequantize(zeroed.weight);
    for (int64_t r = 0; r < 4; ++r) {
      EXPECT_EQ(rounded_w(r, 7), nearest_w(r, 7));
      EXPECT_EQ(zeroed_w(r, 7), 0.0f);
    }
  }
}

TEST(GptqTest, DampingIsRaisedUntilTheFactorExists) {
  const Matrix w = RandomWeights(4, 24);
  const Hessian singular = CorrelatedHessian(24, 5);
  GptqOptions options;
  options.damping = 0;
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), singular, Spec(4), options));
  EXPECT_GT(got.report.damping_used, 0);
  EXPECT_THAT(got.report.note, HasSubstr("damping raised"));
  EXPECT_LE(got.report.loss, got.report.nearest_loss);

  // Not a second moment at all: no damping up to 0.01 * 10^5 helps against an eigenvalue of -10^9.
  Hessian indefinite = Diagonal(std::vector<double>(24, 1.0));
  indefinite.values[1] = indefinite.values[24] = 1e9;
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult fallback, GptqSolve(w.view(), indefinite, Spec(4), {}));
  EXPECT_TRUE(fallback.report.fell_back_to_nearest);
  EXPECT_THAT(fallback.report.note, HasSubstr("factorised"));
}

TEST(GptqTest, ClipSearchSetsTheGrids) {
  const Matrix w = RandomWeights(6, 64);
  const Hessian h = CorrelatedHessian(64, 200);
  GptqOptions options;
  options.clip = ClipSearchSpec();
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), h, Spec(2), options));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<GridParams> grids, FindGrids(w.view(), Spec(2), &*options.clip));
  EXPECT_EQ(got.weight.params, grids);
}

TEST(GptqTest, RejectsBadInput) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  Matrix w = RandomWeights(4, 8);
  Hessian h = Diagonal(std::vector<double>(8, 1.0));
  EXPECT_THAT(GptqSolve(w.view(), Diagonal({1, 1}), Spec(4), {}), StatusIs(invalid, HasSubstr("[2, 2]")));
  GptqOptions options;
  options.damping = -1;
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(4), options), StatusIs(invalid, HasSubstr("damping")));
  options = GptqOptions();
  options.block = 0;
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(4), options), StatusIs(invalid, HasSubstr("block")));
  h.values[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(4), {}), StatusIs(invalid, HasSubstr("NaN")));
  h.values[3] = 0;
  w(1, 1) = std::numeric_limits<float>::infinity();
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(4), {}), StatusIs(invalid, HasSubstr("[1, 1]")));
}

TEST(GptqTest, WidthsOfGroupsMatchTheTextbook) {
  const Matrix w = RandomWeights(6, 40);
  const Hessian h = CorrelatedHessian(40, 400);
  for (const bool act_order : {false, true}) {
    GptqOptions options;
    options.act_order = act_order;
    options.block = 16;
    options.group_bits = {1, 2, 8, 3, 2};
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult got, GptqSolve(w.view(), h, Spec(2, 8), options));
    EXPECT_THAT(ValidateQuantized(got.weight), IsOk());
    EXPECT_EQ(got.weight, TextbookGptq(w, h, Spec(2, 8), options));
    EXPECT_LT(got.report.loss, got.report.nearest_loss);
  }
}

// U_ii^2 is what is left of the inverse's diagonal once the columns before i are eliminated.
TEST(GptqTest, InverseFactorDiagonalMatchesElimination) {
  const int64_t n = 24;
  const Hessian h = CorrelatedHessian(n, 100);
  std::vector<double> damped = h.values;
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += h.at(i, i) / n;
  for (int64_t i = 0; i < n; ++i) damped[i * n + i] += 0.01 * mean;
  std::vector<double> hinv = Inverse(damped, n);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<double> diagonal, InverseFactorDiagonal(h, 0.01));
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(diagonal[i] * diagonal[i], hinv[i * n + i], 1e-9 * hinv[i * n + i]);
    const std::vector<double> row(hinv.begin() + i * n, hinv.begin() + (i + 1) * n);
    for (int64_t a = 0; a < n; ++a) {
      for (int64_t b = 0; b < n; ++b) hinv[a * n + b] -= row[a] * row[b] / row[i];
    }
  }
  EXPECT_THAT(InverseFactorDiagonal(Diagonal({0, 0}), 0.01),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no calibration token")));
}

TEST(GptqTest, RefusesWidthsThatHaveNoPlace) {
  const Matrix w = RandomWeights(2, 16);
  const Hessian h = CorrelatedHessian(16, 60);
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  GptqOptions options;
  options.group_bits = {2, 3};
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(2), options), invalid("expected a grid per group"));
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(2, 4), options), invalid("and 4 widths"));
  options.group_bits = {2, 9};
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(2, 8), options), invalid("a group of 9 bits"));
  options.group_bits = {2, 3};
  options.static_groups = false;
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(2, 8), options), invalid("act_order and groups found on the way"));
  options.group_bits.clear();
  options.salient.emplace();
  EXPECT_THAT(GptqSolve(w.view(), h, Spec(2), options), invalid("salient search on grid"));
}

}  // namespace
}  // namespace eaq

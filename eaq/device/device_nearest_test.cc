// Grids, rounding to nearest and products on this program's device against the CPU's.
#include "eaq/device/device_nearest.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/device/device_gptq.h"
#include "eaq/device/device_ops.h"
#include "eaq/device/device_product.h"
#include "eaq/device/testing.h"
#include "eaq/quant/fake_quant.h"
#include "gtest/gtest.h"
#include "kernels/device/open.h"
#include "kernels/emulation/counters.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

GridSpec Grid(int bits, GridKind kind, Granularity granularity, int64_t group = 0) {
  return {.bits = bits, .kind = kind, .granularity = granularity, .group_size = group};
}

class DeviceNearestTest : public testing::Test {
 protected:
  void SetUp() override {
    EAQ_ASSERT_OK_AND_ASSIGN(backend_, CheckedBackend());
    ops_ = DeviceOps(*backend_);
    Rng rng(3, "device_nearest_test");
    for (int64_t i = 0; i < all_.size(); ++i) all_.data()[i] = static_cast<float>(rng.Normal() * 0.1);
    for (int64_t c = 0; c < all_.cols(); ++c) {
      all_(1, c) = 0;                                      // zeros
      all_(2, c) = std::fabs(all_(2, c)) + 0.05f;          // above 0
      all_(3, c) *= c % 40 == 7 ? 30 : 1;                  // outliers
      all_(4, c) = -0.2f - std::fabs(all_(4, c)) * 1e-3f;  // below 0, close together
      all_(5, c) *= 1e-6f;                                 // scales that are subnormal in float16
    }
  }
  ConstMatrixView w() const { return all_.view().Cols(3, 150); }  // rows that do not follow each other

  // What was launched since the last call; on a GPU nobody counts.
  static uint64_t Launches() {
    const uint64_t launches = kernels::emulation::ReadCounters().launches;
    kernels::emulation::ResetCounters();
    return launches;
  }
  static bool Counted() { return kernels::LinkedDevice() == kernels::BackendKind::kEmulation; }

  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<QuantizeOps> ops_;
  Matrix all_{20, 160};
};

std::vector<GridRange> Ranges() {
  return {{},
          {.clip = ClipSearchSpec{}},
          {.clip = ClipSearchSpec{.norm = ClipNorm::kMse, .steps = 30, .max_shrink = 0.5}},
          {.ratio = RatioSpec{.fixed = 0.8}},
          {.ratio = RatioSpec{.search_from = 0.35}},
          {.ratio = RatioSpec{.fixed = 0.8, .zero_in_range = false}},
          {.ratio = RatioSpec{.search_from = 0.35, .zero_in_range = false}}};
}

TEST_F(DeviceNearestTest, GridsAndCodesAreTheCpusButForTies) {
  int64_t grids = 0, ties = 0;
  Launches();
  for (const GridSpec& spec :
       {Grid(4, GridKind::kAsymmetric, Granularity::kChannel), Grid(3, GridKind::kAsymmetric, Granularity::kGroup, 32),
        Grid(2, GridKind::kSymmetricFullRange, Granularity::kGroup, 64),
        Grid(8, GridKind::kSymmetricRestricted, Granularity::kChannel),
        Grid(3, GridKind::kAsymmetric, Granularity::kTensor)}) {
    for (const GridRange& range : Ranges()) {
      if (spec.symmetric() && range.ratio && !range.ratio->zero_in_range) continue;
      EAQ_ASSERT_OK_AND_ASSIGN(const NearestResult cpu, CpuOps().Nearest(w(), spec, range));
      EAQ_ASSERT_OK_AND_ASSIGN(const NearestResult device, ops_->Nearest(w(), spec, range));
      EXPECT_EQ(device.note, "");
      if (Counted()) {
        EXPECT_EQ(Launches(), 2u);
      }
      const GridAgreement found = CompareGrids(w(), cpu.weight, device.weight, range);
      for (const std::string& what : found.unexplained) ADD_FAILURE() << spec.ToString() << ": " << what;
      grids += found.grids;
      ties += found.ties;
      // On its own grids every code is the nearest.
      EXPECT_EQ(device.weight, QuantizeOnGrids(w(), spec, device.weight.params).value()) << spec.ToString();
      if (found.ties == 0) {
        EXPECT_EQ(device.weight, cpu.weight) << spec.ToString();
      }
    }
  }
  printf("%lld of %lld grids at ties\n", static_cast<long long>(ties), static_cast<long long>(grids));
  EXPECT_LE(100 * ties, grids);
}

// A worse candidate is told from one that is as good.
TEST(CompareGridsTest, OnlyTiesAreExplained) {
  const std::vector<float> values = {1, -1, 0.25f, -0.25f};
  const ConstMatrixView view(values.data(), 1, 4);
  const GridSpec spec = Grid(2, GridKind::kSymmetricFullRange, Granularity::kChannel);
  const GridRange searched = {.clip = ClipSearchSpec{}};
  const auto on = [&](float scale) { return QuantizeOnGrids(view, spec, {{scale, 2}}).value(); };
  // 1 on the last level above 0 or below: mirror images.
  EXPECT_EQ(CompareGrids(view, on(0.5f), on(-0.5f), searched).ties, 1);
  EXPECT_EQ(CompareGrids(view, on(0.5f), on(-0.5f), {}).unexplained.size(), 1u);  // nothing was searched
  EXPECT_EQ(CompareGrids(view, on(0.5f), on(0.49f), searched).unexplained.size(), 1u);
  EXPECT_EQ(CompareGrids(view, on(0.5f), on(0.5f), searched).unexplained.size(), 0u);
}

TEST_F(DeviceNearestTest, CodesOnGridsAreTheCpus) {
  Rng rng(5, "device_nearest_test/grids");
  for (const GridSpec& spec : {Grid(3, GridKind::kAsymmetric, Granularity::kGroup, 32),
                               Grid(8, GridKind::kSymmetricFullRange, Granularity::kChannel),
                               Grid(2, GridKind::kAsymmetric, Granularity::kTensor)}) {
    std::vector<GridParams> grids(spec.GridCount(w().rows, w().cols));
    for (GridParams& grid : grids) {
      grid.scale = static_cast<float>((rng.Below(2) == 0 ? -1 : 1) * (0.01 + 0.02 * rng.Uniform()));
      grid.zero = static_cast<float>(rng.Below(spec.max_code() + 1));
    }
    Launches();
    EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix device, ops_->OnGrids(w(), spec, grids));
    if (Counted()) {
      EXPECT_EQ(Launches(), 1u);
    }
    EXPECT_EQ(device, QuantizeOnGrids(w(), spec, grids).value()) << spec.ToString();
    grids.push_back({});
    if (spec.granularity == Granularity::kTensor) {
      EXPECT_THAT(ops_->OnGrids(w(), spec, grids).status(),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 1, found 2")));
    }
  }
}

TEST_F(DeviceNearestTest, WhatTheKernelsCannotSayIsTheCpus) {
  const GridSpec four = Grid(4, GridKind::kAsymmetric, Granularity::kChannel);
  const auto on_cpu = [&](ConstMatrixView w, const GridSpec& spec, const GridRange& range) {
    Launches();
    const auto cpu = CpuOps().Nearest(w, spec, range), device = ops_->Nearest(w, spec, range);
    EXPECT_EQ(device.status(), cpu.status());
    EXPECT_EQ(Launches(), 0u);
    if (!cpu.ok() || !device.ok()) return;
    EXPECT_EQ(device->weight, cpu->weight);
    EXPECT_EQ(device->note, "rounded on the CPU");
  };
  on_cpu(w(), Grid(1, GridKind::kBinary, Granularity::kGroup, 32), {});
  EAQ_ASSERT_OK_AND_ASSIGN(const NearestResult binary,
                           CpuOps().Nearest(w(), Grid(1, GridKind::kBinary, Granularity::kChannel), {}));
  EXPECT_EQ(ops_->OnGrids(w(), binary.weight.grid, binary.weight.params).value(), binary.weight);
  on_cpu(w(), Grid(9, GridKind::kAsymmetric, Granularity::kChannel), {});
  on_cpu(w(), four, {.clip = ClipSearchSpec{.steps = 0}});
  on_cpu(w(), four, {.ratio = RatioSpec{.fixed = 2}});
  on_cpu(w(), four, {.clip = ClipSearchSpec{}, .ratio = RatioSpec{}});
  const Matrix wide(1, 70000);
  on_cpu(wide.view(), Grid(4, GridKind::kAsymmetric, Granularity::kGroup, 1), {});
  Matrix bad(w());
  bad(7, 11) = std::numeric_limits<float>::quiet_NaN();
  on_cpu(bad.view(), four, {});
  on_cpu(bad.view(), four, {.ratio = RatioSpec{.search_from = 0.5}});
  bad(7, 11) = 1e8f;  // a scale beyond float16
  on_cpu(bad.view(), four, {.clip = ClipSearchSpec{}});
  bad(7, 11) = 9e5f, bad(7, 12) = -9e5f;  // and within it, where only the whole range would be beyond
  on_cpu(bad.view(), Grid(4, GridKind::kAsymmetric, Granularity::kGroup, 1), {});
}

// Orders of sums alone.
TEST_F(DeviceNearestTest, ProductsAreTheCpus) {
  const Matrix rows(w());
  for (const int64_t n : {0, 1, 3, 20}) {
    const ConstMatrixView x = all_.view().Rows(0, n).Cols(5, 150);
    Launches();
    EAQ_ASSERT_OK_AND_ASSIGN(const Matrix y, ops_->Product(x, w()));
    if (Counted()) {
      EXPECT_EQ(Launches(), n > 0 ? 1u : 0u);
    }
    ASSERT_EQ(y.rows(), n);
    ASSERT_EQ(y.cols(), 20);
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t r = 0; r < 20; ++r) {
        double exact = 0, magnitude = 0;
        for (int64_t c = 0; c < 150; ++c) {
          exact += double{x(t, c)} * w()(r, c);
          magnitude += std::fabs(double{x(t, c)} * w()(r, c));
        }
        ASSERT_NEAR(y(t, r), exact, 150 * 0x1p-24 * magnitude) << t << ", " << r;
      }
    }
  }
  EXPECT_THAT(ops_->Product(rows.view(), rows.view().Cols(0, 149)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[20, 150] and [20, 149]")));
  // A linear's transform and bias come with it.
  Matrix weight(20, 8);
  std::vector<float> bias(20);
  for (int64_t i = 0; i < weight.size(); ++i) weight.data()[i] = all_.data()[i];
  for (int64_t i = 0; i < 20; ++i) bias[i] = static_cast<float>(i - 7);
  const DenseLinear linear(weight, bias,
                           std::make_shared<const OnlineTransform>(OnlineTransform{{OnlineStep::Hadamard(8)}}));
  const ConstMatrixView x = all_.view().Cols(0, 8);
  EAQ_ASSERT_OK_AND_ASSIGN(const Matrix cpu, CpuOps().Forward(linear, x));
  EAQ_ASSERT_OK_AND_ASSIGN(const Matrix device, ops_->Forward(linear, x));
  for (int64_t i = 0; i < cpu.size(); ++i)
    ASSERT_NEAR(device.data()[i], cpu.data()[i], 1e-6 * (1 + std::fabs(cpu.data()[i])));
}

TEST_F(DeviceNearestTest, MemoryThatIsNotThereIsSaid) {
  const ConstMatrixView huge(nullptr, int64_t{1} << 40, int64_t{1} << 14);
  EXPECT_THAT(ops_->Product(huge, huge.Rows(0, 1)), StatusIs(absl::StatusCode::kInternal, HasSubstr("product")));
}

TEST_F(DeviceNearestTest, GptqFindsItsGridsThere) {
  const int64_t cols = w().cols;
  Matrix x(200, cols);
  Rng rng(9, "device_nearest_test/inputs");
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.Normal() * (1 + i % 3));
  for (int64_t t = 0; t < x.rows(); ++t) x(t, 17) = 0;  // never seen
  HessianAccumulator sum(cols);
  ASSERT_THAT(sum.Add(x.view()), IsOk());
  const Hessian hessian = sum.Finish();
  for (const bool zero_dead : {false, true}) {
    GptqOptions options;
    options.clip = ClipSearchSpec{};
    options.zero_dead_columns = zero_dead;
    const GridSpec spec = Grid(3, GridKind::kAsymmetric, Granularity::kGroup, 32);
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult cpu, GptqSolve(w(), hessian, spec, options));
    Launches();
    ASSERT_THAT(GptqSolve(w(), hessian, spec, options, DeviceRounder(*backend_)).status(), IsOk());
    const uint64_t columns = Launches();
    EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult device, ops_->Gptq(w(), hessian, spec, options));
    if (Counted()) {
      EXPECT_EQ(Launches(), columns + (zero_dead ? 4 : 2));
    }
    EXPECT_EQ(device.report.note, "");
    EXPECT_EQ(device.report.dead_columns, 1);
    EXPECT_EQ(device.weight.params, cpu.weight.params);  // no tie among these
    EXPECT_EQ(device.weight.codes, cpu.weight.codes);
    EXPECT_EQ(device.report.loss, cpu.report.loss);
    EXPECT_EQ(device.report.nearest_loss, cpu.report.nearest_loss);
  }
  // A linear without a token is rounded to nearest there.
  Hessian none;
  none.size = cols;
  none.values.assign(cols * cols, 0.0);
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult idle,
                           ops_->Gptq(w(), none, Grid(4, GridKind::kAsymmetric, Granularity::kChannel), {}));
  EXPECT_EQ(idle.weight, QuantizeNearest(w(), Grid(4, GridKind::kAsymmetric, Granularity::kChannel)).value());
  EXPECT_TRUE(idle.report.fell_back_to_nearest);
  // Grids that no kernel finds.
  GptqOptions salient;
  salient.salient.emplace();
  const GridSpec groups = Grid(3, GridKind::kAsymmetric, Granularity::kGroup, 32);
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult found, ops_->Gptq(w(), hessian, groups, salient));
  EXPECT_EQ(found.weight, GptqSolve(w(), hessian, groups, salient)->weight);
  EXPECT_EQ(found.report.note, "grids found on the CPU");
}

}  // namespace
}  // namespace eaq

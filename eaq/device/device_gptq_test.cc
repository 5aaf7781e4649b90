// GPTQ on this program's device against the CPU's.
#include "eaq/device/device_gptq.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/device/device_ops.h"
#include "eaq/device/testing.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

class DeviceGptqTest : public testing::Test {
 protected:
  void SetUp() override {
    EAQ_ASSERT_OK_AND_ASSIGN(backend_, CheckedBackend());
    Rng rng(7, "device_gptq_test");
    // Inputs with channels of different size that go along with each other.
    for (int64_t t = 0; t < x_.rows(); ++t) {
      const double common = rng.Normal();
      for (int64_t i = 0; i < x_.cols(); ++i) {
        x_(t, i) = static_cast<float>((rng.Normal() + 0.7 * common) * (1 + i % 5));
      }
    }
    for (int64_t i = 0; i < w_.size(); ++i) w_.data()[i] = static_cast<float>(rng.Normal() * 0.1);
    HessianAccumulator accumulator(x_.cols());
    ASSERT_THAT(accumulator.Add(x_.const_view()), IsOk());
    hessian_ = accumulator.Finish();
  }
  static GridSpec Grid(int bits, GridKind kind, Granularity granularity, int64_t group = 0) {
    GridSpec grid;
    grid.bits = bits;
    grid.kind = kind;
    grid.granularity = granularity;
    grid.group_size = group;
    return grid;
  }

  // In batches of uneven size; WEIGHTS: empty or one a row.
  absl::StatusOr<Hessian> Moments(absl::Span<const float> weights = {}) {
    DeviceMoments sum(*backend_, x_.cols());
    for (int64_t first = 0, count = 1; first < x_.rows(); first += count, count = 3 * count + 1) {
      const int64_t n = std::min(count, x_.rows() - first);
      EAQ_RETURN_IF_ERROR(
          sum.Add(x_.const_view().Rows(first, n), weights.empty() ? weights : weights.subspan(first, n)));
    }
    return sum.Finish();
  }

  std::unique_ptr<kernels::Backend> backend_;
  Matrix x_{200, 150}, w_{24, 150};
  Hessian hessian_;
};

int64_t Differences(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.codes.size(); ++i) count += a.codes[i] != b.codes[i];
  return count;
}

TEST_F(DeviceGptqTest, SecondMomentsAreWithinTheirBound) {
  std::vector<float> weights(x_.rows());
  for (size_t t = 0; t < weights.size(); ++t) weights[t] = t % 7 == 0 ? 0.0f : 1.0f / (1 + t % 3);
  for (const bool weighted : {false, true}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const Hessian device, Moments(weighted ? weights : std::vector<float>()));
    ASSERT_EQ(device.values.size(), hessian_.values.size());
    EXPECT_EQ(device.tokens, hessian_.tokens);
    for (int64_t i = 0; i < x_.cols(); ++i) {
      for (int64_t j = 0; j < x_.cols(); ++j) {
        double exact = 0, magnitude = 0;
        for (int64_t t = 0; t < x_.rows(); ++t) {
          const double product = (weighted ? weights[t] : 1.0) * x_(t, i) * x_(t, j);
          exact += product;
          magnitude += std::fabs(product);
        }
        // Weighted rows are rounded to float32 first: 2^-24 for the root's, 2^-24 for the product's, of both factors.
        ASSERT_NEAR(device.at(i, j), exact, (2.6e-6 + (weighted ? 4 * 6e-8 : 0)) * magnitude) << i << ", " << j;
        ASSERT_EQ(device.at(i, j), device.at(j, i));
      }
    }
  }
}

TEST_F(DeviceGptqTest, SecondMomentsDoNotDependOnHowTheyAreCut) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Hessian pieces, Moments());
  DeviceMoments whole(*backend_, x_.cols());
  ASSERT_THAT(whole.Add(x_.const_view()), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(const Hessian at_once, whole.Finish());
  EXPECT_EQ(pieces.values, at_once.values);
  EAQ_ASSERT_OK_AND_ASSIGN(const Hessian none, DeviceMoments(*backend_, 3).Finish());
  EXPECT_EQ(none.values, std::vector<double>(9, 0.0));
  EXPECT_EQ(none.tokens, 0);
  EXPECT_THAT(DeviceMoments(*backend_, 3).Add(x_.const_view()),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("a batch has 150 columns")));
}

TEST_F(DeviceGptqTest, CodesAreTheCpus) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Hessian moments, Moments());
  for (const GridSpec& grid :
       {Grid(4, GridKind::kAsymmetric, Granularity::kChannel), Grid(3, GridKind::kAsymmetric, Granularity::kGroup, 32),
        Grid(2, GridKind::kSymmetricFullRange, Granularity::kGroup, 64),
        Grid(8, GridKind::kSymmetricRestricted, Granularity::kTensor)}) {
    for (const bool act_order : {true, false}) {
      GptqOptions options;
      options.act_order = act_order;
      EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult cpu, GptqSolve(w_.view(), hessian_, grid, options));
      EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult device,
                               GptqSolve(w_.view(), hessian_, grid, options, DeviceRounder(*backend_)));
      // Of the same second moments: a tie within 2 ulps has some 1e-6 of all codes, and there are 3600.
      EXPECT_EQ(Differences(cpu.weight, device.weight), 0) << grid.ToString();
      EXPECT_EQ(cpu.weight.params, device.weight.params);
      EXPECT_EQ(cpu.report.loss, device.report.loss);
      // Of the device's own, which differ by some 1e-7: a code flips where a weight lies that near a tie, and the rest
      // of its row follows another path to the same loss.
      EAQ_ASSERT_OK_AND_ASSIGN(const GptqResult own,
                               GptqSolve(w_.view(), moments, grid, options, DeviceRounder(*backend_)));
      const int64_t flipped = Differences(cpu.weight, own.weight);
      printf("%-34s act_order %d: %lld of %zu codes differ with the device's own second moments\n",
             grid.ToString().c_str(), act_order, static_cast<long long>(flipped), cpu.weight.codes.size());
      EXPECT_LE(flipped, 36);  // a hundredth
      EXPECT_NEAR(HessianLoss(w_.view(), Dequantize(own.weight).view(), hessian_) /
                      HessianLoss(w_.view(), Dequantize(cpu.weight).view(), hessian_),
                  1, 1e-3);
    }
  }
}

TEST_F(DeviceGptqTest, WhatItCannotSayIsRefused) {
  GptqOptions options;
  options.static_groups = false;
  const auto result = GptqSolve(w_.view(), hessian_, Grid(4, GridKind::kAsymmetric, Granularity::kGroup, 32), options,
                                DeviceRounder(*backend_));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnimplemented) << result.status();
}

// What recipes call, from several threads.
TEST_F(DeviceGptqTest, OpsRoundAsTheCpu) {
  const std::unique_ptr<QuantizeOps> ops = DeviceOps(*backend_);
  EXPECT_EQ(ops->name(), kernels::Name(backend_->kind()));
  const GridSpec grids[] = {Grid(4, GridKind::kAsymmetric, Granularity::kChannel),
                            Grid(3, GridKind::kAsymmetric, Granularity::kGroup, 32)};
  ThreadPool pool(4);
  pool.ParallelFor(8, [&](int64_t i) {
    GptqOptions options;
    options.static_groups = i < 6;
    const GridSpec& grid = grids[i % 2];
    const absl::StatusOr<GptqResult> cpu = GptqSolve(w_.view(), hessian_, grid, options);
    const absl::StatusOr<GptqResult> device = ops->Gptq(w_.view(), hessian_, grid, options);
    ASSERT_THAT(cpu.status(), IsOk());
    ASSERT_THAT(device.status(), IsOk());
    EXPECT_EQ(device->weight, cpu->weight);
    // Groups found on the way are the CPU's business, and said to be.
    EXPECT_EQ(device->report.note, i == 7 ? "rounded on the CPU" : "");
  });
}

TEST_F(DeviceGptqTest, OpsSumAsTheDevice) {
  const std::unique_ptr<QuantizeOps> ops = DeviceOps(*backend_);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto sum, ops->Moments(x_.cols()));
  ASSERT_THAT(sum->Add(x_.const_view()), IsOk());
  EAQ_ASSERT_OK_AND_ASSIGN(const Hessian summed, sum->Finish());
  EAQ_ASSERT_OK_AND_ASSIGN(const Hessian direct, Moments());
  EXPECT_EQ(summed.values, direct.values);
}

}  // namespace
}  // namespace eaq

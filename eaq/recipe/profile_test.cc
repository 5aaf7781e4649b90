#include "eaq/recipe/profile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::vector<Matrix> Windows(int64_t count, int64_t tokens, int64_t hidden) {
  std::vector<Matrix> windows;
  Rng rng(5, "profile_test");
  for (int64_t w = 0; w < count; ++w) {
    Matrix m(tokens, hidden);
    for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.Normal());
    windows.push_back(std::move(m));
  }
  return windows;
}

std::unique_ptr<DecoderLayer> Layer(const ModelConfig& config) {
  absl::StatusOr<std::unique_ptr<DecoderLayer>> layer = BuildLayer(config, RandomLayer(config, 0, 3));
  EXPECT_THAT(layer, IsOk());
  return std::move(layer).value();
}

// Sums everything the slow way, one row at a time, in double.
class NaiveObserver : public LayerObserver {
 public:
  struct Sums {
    int64_t tokens = 0;
    double min = 0, max = 0;
    std::vector<double> moments;
  };
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t>) override {
    Sums& s = sums[id];
    s.moments.resize(x.cols * x.cols);
    for (int64_t r = 0; r < x.rows; ++r) {
      ++s.tokens;
      for (int64_t i = 0; i < x.cols; ++i) {
        s.min = std::min(s.min, double{x(r, i)});
        s.max = std::max(s.max, double{x(r, i)});
        for (int64_t j = 0; j < x.cols; ++j) s.moments[i * x.cols + j] += double{x(r, i)} * x(r, j);
      }
    }
  }
  std::map<LinearId, Sums> sums;
};

TEST(Profile, EqualsTheNaiveSumsOfEveryLinear) {
  const ModelConfig config = TinyConfig();
  const std::unique_ptr<DecoderLayer> layer = Layer(config);
  const std::vector<Matrix> windows = Windows(19, 12, config.hidden_size);
  ThreadPool pool(2);
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile profile, ProfileLayer(*layer, windows, {}, pool));
  NaiveObserver naive;
  for (const Matrix& window : windows) {
    Matrix state = window;
    layer->Forward(state.view(), &naive);
  }
  ASSERT_GT(naive.sums.size(), 8);
  for (const auto& [id, sums] : naive.sums) {
    const InputStatistics& x = profile.Of(id);
    EXPECT_EQ(x.tokens, sums.tokens) << id.ToString();
    EXPECT_EQ(x.range.min, sums.min) << id.ToString();
    EXPECT_EQ(x.range.max, sums.max) << id.ToString();
    ASSERT_EQ(x.second_moments.values.size(), sums.moments.size()) << id.ToString();
    double trace = 1e-12;
    for (int64_t i = 0; i < x.second_moments.size; ++i) trace += sums.moments[i * x.second_moments.size + i];
    for (size_t i = 0; i < sums.moments.size(); ++i) {
      ASSERT_NEAR(x.second_moments.values[i], sums.moments[i], 1e-5 * trace) << id.ToString();
    }
  }
}

TEST(Profile, SameBitsForAnyNumberOfThreads) {
  const ModelConfig config = TinyConfig();
  const std::unique_ptr<DecoderLayer> layer = Layer(config);
  const std::vector<Matrix> windows = Windows(19, 12, config.hidden_size);
  ThreadPool one(1), three(3);
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile a, ProfileLayer(*layer, windows, {}, one));
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile b, ProfileLayer(*layer, windows, {}, three));
  ASSERT_EQ(a.inputs.size(), b.inputs.size());
  for (const auto& [id, x] : a.inputs) {
    EXPECT_EQ(x.second_moments.values, b.inputs.at(id).second_moments.values) << id.ToString();
    EXPECT_EQ(x.abs_max, b.inputs.at(id).abs_max) << id.ToString();
  }
}

TEST(Profile, SharersHaveOneOwner) {
  const auto owner = [](Role role, int expert) {
    return LayerProfile::InputOwner({.layer = 2, .role = role, .expert = expert}).ToString();
  };
  EXPECT_EQ(owner(Role::kV, -1), "L2.q");
  EXPECT_EQ(owner(Role::kO, -1), "L2.o");
  EXPECT_EQ(owner(Role::kUp, 5), "L2.e5.gate");
  EXPECT_EQ(owner(Role::kDown, 5), "L2.e5.down");
  EXPECT_EQ(owner(Role::kSharedUp, -1), "L2.shared_gate");
  EXPECT_EQ(owner(Role::kSharedExpertGate, -1), "L2.router");
}

TEST(Profile, WithoutWindowsEveryLinearIsThereWithNoTokens) {
  const ModelConfig config = TinyConfig();
  ThreadPool pool(1);
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerProfile profile, ProfileLayer(*Layer(config), {}, {}, pool));
  for (const auto& [id, shape] : LinearShapes(config, 0)) {
    EXPECT_EQ(profile.Of(id).tokens, 0);
    EXPECT_EQ(profile.Of(id).abs_max.size(), shape.second) << id.ToString();
  }
}

TEST(Profile, NanIsRefusedWithItsLinear) {
  const ModelConfig config = TinyConfig();
  std::vector<Matrix> windows = Windows(2, 6, config.hidden_size);
  windows[1](3, 0) = std::numeric_limits<float>::quiet_NaN();
  ThreadPool pool(1);
  EXPECT_THAT(ProfileLayer(*Layer(config), windows, {}, pool),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("L0.q")));
}

}  // namespace
}  // namespace eaq

#include "eaq/model/outliers.h"

#include <cmath>

#include "eaq/base/status_matchers.h"
#include "eaq/model/layer.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

TEST(Outliers, KeepTheModelBitForBitAndMakeLargeChannels) {
  ModelConfig config = TinyConfig();
  config.shared_width = 16;  // with a gate
  config.dense_layers = {1};
  config.dense_width = 40;
  const auto plain = RandomModel(config, 3);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto stressed, InjectOutliers(plain, {.channels = 3, .factor = 32, .seed = 1}));
  EXPECT_NE(stressed->hash(), plain->hash());
  EXPECT_EQ(stressed->hash(), OutlierHash(plain->hash(), {.channels = 3, .factor = 32, .seed = 1}));
  Matrix a(12, config.hidden_size);
  for (int64_t i = 0; i < a.size(); ++i) a.data()[i] = static_cast<float>(std::sin(static_cast<double>(i)));
  Matrix b = a;
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_ASSERT_OK_AND_ASSIGN(LayerParams before, plain->LoadLayer(l));
    EAQ_ASSERT_OK_AND_ASSIGN(LayerParams after, stressed->LoadLayer(l));
    int moved = 0;
    for (int64_t c = 0; c < config.hidden_size; ++c) {
      if (after.post_norm[c] == before.post_norm[c]) continue;
      EXPECT_EQ(after.post_norm[c], 32 * before.post_norm[c]);
      ++moved;
    }
    EXPECT_EQ(moved, 3);
    (*BuildLayer(config, before))->Forward(a.view());
    (*BuildLayer(config, after))->Forward(b.view());
    EXPECT_EQ(a, b);
  }
}

TEST(Outliers, RefuseWhatWouldChangeTheModel) {
  const auto plain = RandomModel(TinyConfig(), 3);
  EXPECT_THAT(InjectOutliers(plain, {.channels = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("channels is 0")));
  EXPECT_THAT(InjectOutliers(plain, {.channels = 33}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 1 to 32")));
  for (const double factor : {1.0, 0.5, 3.0, 1e9, std::nan("")}) {
    EXPECT_THAT(InjectOutliers(plain, {.factor = factor}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("power of two")));
  }
}

}  // namespace
}  // namespace eaq

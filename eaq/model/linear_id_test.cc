#include "eaq/model/linear_id.h"

#include "eaq/base/status_matchers.h"
#include "eaq/model/linear_shapes.h"

namespace eaq {
namespace {

TEST(LinearId, RoundTripsAndRefuses) {
  for (int role = 0; role <= static_cast<int>(Role::kSharedExpertGate); ++role)
    for (const int expert : {-1, 0, 17}) {
      const LinearId id{3, static_cast<Role>(role), expert};
      EXPECT_THAT(LinearId::Parse(id.ToString()), IsOkAndHolds(id));
    }
  EXPECT_EQ((LinearId{3, Role::kDown, 7}.ToString()), "L3.e7.down");
  for (const char* bad : {"", "L3", "3.q", "L3.down.e7", "L3.e7", "L.q", "L03.q", "L-1.q", "L3.e.q", "L3.x7.q",
                          "L3.e7.Q", "L3.q.", "L99999999999.q"})
    EXPECT_FALSE(LinearId::Parse(bad).ok()) << bad;
}

TEST(LinearId, OrderIsLayerRoleExpert) {
  EXPECT_LT((LinearId{0, Role::kDown, 5}), (LinearId{1, Role::kQ}));
  EXPECT_LT((LinearId{0, Role::kGate, 5}), (LinearId{0, Role::kUp, 0}));
  EXPECT_LT((LinearId{0, Role::kGate, 1}), (LinearId{0, Role::kGate, 2}));
}

// The published totals (specs/architectures.md section 2).
TEST(CountParameters, MatchesThePublishedModels) {
  ModelConfig olmoe;
  olmoe.vocab_size = 50304;
  olmoe.hidden_size = 2048;
  olmoe.num_layers = 16;
  olmoe.num_heads = olmoe.num_kv_heads = 16;
  olmoe.head_dim = 128;
  olmoe.num_experts = 64;
  olmoe.experts_per_token = 8;
  olmoe.expert_width = 1024;
  olmoe.qk_norm = QkNorm::kFullWidth;
  EXPECT_EQ(CountParameters(olmoe).total, 6'919'161'856);
  EXPECT_EQ(CountParameters(olmoe).active, 1'282'017'280);

  ModelConfig mixtral;
  mixtral.vocab_size = 32000;
  mixtral.hidden_size = 4096;
  mixtral.num_layers = 32;
  mixtral.num_heads = 32;
  mixtral.num_kv_heads = 8;
  mixtral.head_dim = 128;
  mixtral.num_experts = 8;
  mixtral.experts_per_token = 2;
  mixtral.expert_width = 14336;
  EXPECT_EQ(CountParameters(mixtral).total, 46'702'792'704);
  EXPECT_EQ(CountParameters(mixtral).active, 12'879'925'248);

  ModelConfig qwen;
  qwen.vocab_size = 151936;
  qwen.hidden_size = 2048;
  qwen.num_layers = 24;
  qwen.num_heads = qwen.num_kv_heads = 16;
  qwen.head_dim = 128;
  qwen.num_experts = 60;
  qwen.experts_per_token = 4;
  qwen.expert_width = 1408;
  qwen.shared_width = 5632;
  qwen.attention_bias = true;
  EXPECT_EQ(CountParameters(qwen).total, 14'315'784'192);
  EXPECT_EQ(CountParameters(qwen).active, 2'689'173'504);
}

}  // namespace
}  // namespace eaq

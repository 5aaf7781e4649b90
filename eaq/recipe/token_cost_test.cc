#include "eaq/recipe/token_cost.h"

#include <memory>
#include <utility>

#include "eaq/model/synthetic.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

std::shared_ptr<const OnlineTransform> Rotation(int64_t b) {
  Matrix r(b, b);
  for (int64_t i = 0; i < b; ++i) r(i, i) = 1;
  return std::make_shared<const OnlineTransform>(OnlineTransform{{OnlineStep::Rotate(std::move(r))}});
}

TEST(CostOfToken, CountsEveryInputOnceAndExpertsByTheirShare) {
  const ModelConfig c = TinyConfig();
  LayerParams params = RandomLayer(c, 0, 1);
  const int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  const TokenCost plain = CostOfToken(c, params);
  EXPECT_EQ(plain.online, 0);
  EXPECT_DOUBLE_EQ(plain.linears, static_cast<double>(d * (q + 2 * kv) + q * d + c.num_experts * d +
                                                      c.experts_per_token * 3 * d * c.expert_width));
  // q, k and v read the same rows: rotated once, d channels in blocks of 4.
  for (const Role role : {Role::kQ, Role::kK, Role::kV}) params.linears.at({0, role}).online = Rotation(4);
  EXPECT_DOUBLE_EQ(CostOfToken(c, params).online, 4.0 * d);
  // Every expert's gate and up: a token meets experts_per_token of them.
  for (int e = 0; e < c.num_experts; ++e)
    for (const Role role : {Role::kGate, Role::kUp}) params.linears.at({0, role, e}).online = Rotation(2);
  EXPECT_DOUBLE_EQ(CostOfToken(c, params).online, 4.0 * d + c.experts_per_token * 2.0 * d);
  // Queries and keys: blocks of 4, 8 additions each.
  params.qk_hadamard = 4;
  EXPECT_DOUBLE_EQ(CostOfToken(c, params).online, 4.0 * d + c.experts_per_token * 2.0 * d + (q + kv) / 4 * 8.0);
}

}  // namespace
}  // namespace eaq

#include "eaq/quant/from_proto.h"

#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(FromProtoTest, DefaultsAgree) {
  EAQ_ASSERT_OK_AND_ASSIGN(const GridSpec grid, GridFromProto(Grid()));
  EXPECT_EQ(grid, GridSpec());
  EAQ_ASSERT_OK_AND_ASSIGN(const ClipSearchSpec clip, ClipSearchFromProto(ClipSearch()));
  EXPECT_EQ(clip.norm, ClipNorm::kL24);
  EXPECT_EQ(clip.steps, ClipSearchSpec().steps);
  EXPECT_EQ(clip.max_shrink, ClipSearchSpec().max_shrink);
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqOptions gptq, GptqFromProto(Gptq()));
  const GptqOptions expected;
  EXPECT_EQ(gptq.damping, expected.damping);
  EXPECT_EQ(gptq.act_order, expected.act_order);
  EXPECT_EQ(gptq.static_groups, expected.static_groups);
  EXPECT_EQ(gptq.block, expected.block);
  EXPECT_EQ(gptq.zero_dead_columns, expected.zero_dead_columns);
  EXPECT_EQ(gptq.stale_group_grids, expected.stale_group_grids);
  EXPECT_FALSE(gptq.clip.has_value());
}

TEST(FromProtoTest, EveryFieldArrives) {
  Grid grid;
  grid.set_bits(3);
  grid.set_kind(Grid::SYMMETRIC_FULL_RANGE);
  grid.set_granularity(Grid::GROUP);
  grid.set_group_size(64);
  EAQ_ASSERT_OK_AND_ASSIGN(const GridSpec spec, GridFromProto(grid));
  EXPECT_EQ(spec.ToString(), "int3 symmetric full-range group 64");
  Gptq gptq;
  gptq.set_damping(0.5);
  gptq.set_act_order(false);
  gptq.set_static_groups(false);
  gptq.set_block(64);
  gptq.mutable_clip()->set_norm(ClipSearch::MSE);
  gptq.mutable_clip()->set_steps(50);
  EAQ_ASSERT_OK_AND_ASSIGN(const GptqOptions options, GptqFromProto(gptq));
  EXPECT_EQ(options.damping, 0.5);
  EXPECT_FALSE(options.act_order);
  EXPECT_FALSE(options.static_groups);
  EXPECT_EQ(options.block, 64);
  EXPECT_EQ(options.clip->norm, ClipNorm::kMse);
  EXPECT_EQ(options.clip->steps, 50);
  EXPECT_FALSE(options.zero_dead_columns);
  EXPECT_FALSE(options.stale_group_grids);
}

// One at a time, so that neither can arrive as the other.
TEST(FromProtoTest, TheReferenceCodesHabitsArrive) {
  Gptq gptq;
  gptq.set_zero_dead_columns(true);
  EAQ_ASSERT_OK_AND_ASSIGN(GptqOptions options, GptqFromProto(gptq));
  EXPECT_TRUE(options.zero_dead_columns);
  EXPECT_FALSE(options.stale_group_grids);
  gptq.Clear();
  gptq.set_stale_group_grids(true);
  EAQ_ASSERT_OK_AND_ASSIGN(options, GptqFromProto(gptq));
  EXPECT_FALSE(options.zero_dead_columns);
  EXPECT_TRUE(options.stale_group_grids);
}

TEST(FromProtoTest, RejectsImpossibleGrids) {
  Grid grid;
  grid.set_bits(12);
  EXPECT_THAT(GridFromProto(grid), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("12 bits")));
  grid.set_bits(4);
  grid.set_granularity(Grid::GROUP);
  EXPECT_THAT(GridFromProto(grid), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("group_size")));
}

}  // namespace
}  // namespace eaq

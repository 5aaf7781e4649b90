#include "experiments/plan_text.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace eaq {
namespace {

using ::testing::ElementsAre;

TrialResult Result(const std::string& text) {
  TrialResult result;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &result));
  return result;
}

const char kTwoLayers[] = R"(
  linear { id: "L0.q" bits: 4 activation: "int4 per token" online: "rotate 128" }
  linear { id: "L0.k" bits: 4 activation: "int4 per token" online: "rotate 128" }
  linear { id: "L0.router" bits: 16 }
  linear { id: "L0.e0.down" bits: 2 activation: "int4 per token" }
  linear { id: "L0.e1.down" bits: 3 activation: "int4 per token" }
  linear { id: "L1.q" bits: 4 activation: "int4 per token" online: "rotate 128" }
  linear { id: "L1.k" bits: 4 activation: "int4 per token" online: "rotate 128" }
  linear { id: "L1.router" bits: 16 }
  linear { id: "L1.e0.down" bits: 2 activation: "int4 per token" }
  linear { id: "L3.e1.down" bits: 2 }
)";

TEST(PlanText, LinearsTreatedAlikeShareALine) {
  EXPECT_THAT(
      PlanTable(Result(kTwoLayers)),
      ElementsAre(ElementsAre("linears", "count", "layers", "weights", "inputs", "before them"),
                  ElementsAre("q, k", "4", "0-1", "4 bits", "int4 per token", "rotate 128"),
                  ElementsAre("router", "2", "0-1", "16 bits", "16 bits", ""),
                  ElementsAre("expert down", "4", "0-1, 3", "2 bits (3), 3 bits (1)", "16 bits; int4 per token", "")));
}

TEST(PlanText, NamesAllThatIsLeftAt16Bits) {
  TrialSpec spec;
  EXPECT_EQ(LeftAt16Bits(spec, Result(kTwoLayers)),
            "embedding, head and norms; weights of router; inputs of router, expert down; queries, keys and values");
  spec.mutable_scheme()->mutable_attention_operands()->set_bits(4);
  EXPECT_EQ(LeftAt16Bits(spec, Result(R"(linear { id: "L0.q" bits: 4 activation: "int4 per token" })")),
            "embedding, head and norms");
}

TEST(PlanText, PrunedExpertsHaveNoWidth) {
  const TrialResult result = Result(R"(
    linear { id: "L0.router" bits: 16 note: "1 of 2 experts pruned" }
    linear { id: "L0.e0.down" bits: 4 activation: "int4 per token" }
    linear { id: "L0.e1.down" bits: 0 note: "pruned" }
  )");
  EXPECT_THAT(PlanTable(result)[2],
              ElementsAre("expert down", "2", "0", "pruned (1), 4 bits (1)", "int4 per token", ""));
  EXPECT_THAT(RouterNotes(result), ElementsAre("L0.router: 1 of 2 experts pruned"));
  TrialSpec spec;
  spec.mutable_scheme()->mutable_attention_operands()->set_bits(4);
  EXPECT_EQ(LeftAt16Bits(spec, result), "embedding, head and norms; weights of router; inputs of router");
}

TEST(PlanText, NothingQuantizedIsAnEmptyTable) { EXPECT_EQ(PlanTable(TrialResult()).size(), 1u); }

}  // namespace
}  // namespace eaq

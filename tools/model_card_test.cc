#include "tools/model_card.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ModelCard Card() {
  ModelCard card;
  card.name = "tiny";
  card.config.model_type = "olmoe";
  card.config.num_layers = 1;
  card.config.num_experts = 4;
  card.config.experts_per_token = 2;
  card.parameters = 2000000;
  card.domains = {{"prose", "pkg", "1.0", std::string(64, 'a'), 10, 3, 2, 2.0, 1.5, {{0.5, 0.3, 0.2, 0.0}}},
                  {"code", "pkg", "1.0", std::string(64, 'b'), 20, 3, 2, 1.0, 1.2, {{0.1, 0.3, 0.2, 0.4}}}};
  card.log = {{100, 400000, 5.5}, {200, 60000000, 2.5}};
  return card;
}

TEST(ModelCard, TotalVariationByHand) {
  EXPECT_DOUBLE_EQ(TotalVariation({0.5, 0.5, 0}, {0, 0.5, 0.5}), 0.5);
  EXPECT_DOUBLE_EQ(TotalVariation({0.2, 0.8}, {0.2, 0.8}), 0);
  EXPECT_DOUBLE_EQ(TotalVariation({1, 0}, {0, 1}), 1);
}

TEST(ModelCard, SaysWhatWasMeasured) {
  const std::string text = RenderCard(Card());
  EXPECT_THAT(text, HasSubstr("60.0 M tokens seen, 30.0 per parameter"));
  EXPECT_THAT(text, HasSubstr("| prose | 3 | 2 | 2.0000 | 7.39 | 1.500 |"));
  EXPECT_THAT(text, HasSubstr("| code | pkg | 1.0 | 20 | bbbbbbbbbbbbbbbb |"));
  // Means 0.3 0.3 0.2 0.2; |0.4| + |0.4| over 2.
  EXPECT_THAT(text, HasSubstr("least used expert 20.0 % over all domains (even use: 25.0 %)"));
  EXPECT_THAT(text, HasSubstr("0.40 on average,\n0.40 at most"));
  EXPECT_THAT(text, HasSubstr("| code | 10.0 | 30.0 | 20.0 | 40.0 |"));
  ModelCard unknown = Card();
  unknown.log.clear();
  EXPECT_THAT(RenderCard(unknown), Not(HasSubstr("loss.svg")));
}

TEST(ModelCard, TheCurveHasItsEnds) {
  const std::string svg = RenderLossSvg(Card().log);
  EXPECT_THAT(svg, HasSubstr("744.0,"));                        // the last token at the right end
  EXPECT_THAT(svg, HasSubstr("text-anchor=\"end\">6</text>"));  // 5.5 is under a line
  EXPECT_THAT(svg, HasSubstr("text-anchor=\"middle\">10 M</text>"));
}

}  // namespace
}  // namespace eaq

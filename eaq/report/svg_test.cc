#include "eaq/report/svg.h"

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "eaq/report/forest_chart.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(Ticks, RoundNumbers) {
  EXPECT_EQ(Ticks(0, 10, 5, false), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(Ticks(-1, 1, 4, false), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(Ticks(0.9, 110, 5, true), (std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
  EXPECT_EQ(Ticks(0.5, 20000, 5, true), (std::vector<double>{1, 10, 100, 1000, 10000}));
  EXPECT_TRUE(Ticks(1, 1, 5, false).empty());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(Ticks(nan, nan, 5, false).empty());
}

TEST(Chart, PlacesPointsByTheirValues) {
  Chart chart("id", "title", "what it shows");
  chart.series.push_back({"a", 0, {{0, 0, 0, 0, "first"}, {1, 1, 0.5, 1.5, "second"}}, true});
  const std::string svg = chart.Svg();
  EXPECT_TRUE(absl::StrContains(svg, "<title id=\"id-t\">title</title><desc id=\"id-d\">what it shows</desc>"));
  EXPECT_TRUE(absl::StrContains(svg, "<polyline"));
  EXPECT_TRUE(absl::StrContains(svg, "<title>second</title>"));
  // The longest number of the y axis, "0.5" or "1.5", takes 34 + 7.5 * 3 = 56.5. x runs from -0.06 to 1.06 over
  // 56.5 .. 704: 0 lies at 56.5 + 647.5 * 0.06 / 1.12 = 91.2.
  EXPECT_TRUE(absl::StrContains(svg, "cx=\"91.2\"")) << svg;
  EXPECT_FALSE(absl::StrContains(svg, "nan"));
}

TEST(Chart, ZeroBandAndNotes) {
  Chart chart("id", "t", "d");
  chart.series.push_back({"a", 0, {{3, 0.2, 0.1, 0.3, "p"}}, false});
  EXPECT_FALSE(absl::StrContains(chart.Svg(), "class=\"zero\""));
  EXPECT_FALSE(absl::StrContains(chart.Svg(), "class=\"band\""));
  chart.with_zero = true;
  chart.band = 0.005;
  chart.notes.push_back({3, 0.3, "W<4"});
  const std::string svg = chart.Svg();
  EXPECT_TRUE(absl::StrContains(svg, "class=\"zero\""));
  EXPECT_TRUE(absl::StrContains(svg, "class=\"band\""));
  EXPECT_TRUE(absl::StrContains(svg, "class=\"name\">W&lt;4</text>"));
}

// A long number on the y axis does not run into the axis' name.
TEST(Chart, MakesRoomForItsNumbers) {
  Chart chart("id", "t", "d");
  chart.series.push_back({"a", 0, {{0, -0.0005, 0, 0, ""}, {1, 0.0005, 0, 0, ""}}, false});
  // "-0.0005" has 7 characters: the axis stands at 34 + 7.5 * 7 = 86.5, its numbers end at 78.5.
  EXPECT_TRUE(absl::StrContains(chart.Svg(), "<text x=\"78.5\"")) << chart.Svg();
}

TEST(Chart, NothingToShow) {
  EXPECT_EQ(Chart("id", "t", "d").Svg(), "");
  Chart chart("id", "t", "d");
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  chart.series.push_back({"a", 0, {{nan, nan, 0, 0, ""}}});
  EXPECT_EQ(chart.Svg(), "");
  chart.series[0].points = {{0, inf, 0, 0, ""}};
  EXPECT_EQ(chart.Svg(), "");
}

TEST(Chart, OnePointAndEscapes) {
  Chart chart("id", "<t>", "a & b");
  chart.series.push_back({"\"x\"", 9, {{1, 0, 0, 0, "</title>"}}});
  const std::string svg = chart.Svg();
  EXPECT_TRUE(absl::StrContains(svg, "&lt;t&gt;"));
  EXPECT_TRUE(absl::StrContains(svg, "a &amp; b"));
  EXPECT_TRUE(absl::StrContains(svg, "&lt;/title&gt;"));
  EXPECT_FALSE(absl::StrContains(svg, "nan"));
}

TEST(HeatMap, ColoursFromLowToHighAndShowsWhatIsMissing) {
  HeatMap map("id", "t", "d");
  map.rows = {"r"};
  map.columns = {"a", "b", "c"};
  map.value = {{1, 100, std::numeric_limits<double>::quiet_NaN()}};
  map.log = true;
  const std::string svg = map.Svg();
  EXPECT_TRUE(absl::StrContains(svg, "fill-opacity=\"0.06\"><title>r, a: 1<"));
  EXPECT_TRUE(absl::StrContains(svg, "fill-opacity=\"1.00\"><title>r, b: 100<"));
  EXPECT_TRUE(absl::StrContains(svg, "class=\"void\""));
  EXPECT_TRUE(absl::StrContains(svg, ">nothing measured</text>"));  // the legend says what hollow means
  map.value[0][2] = 10;
  EXPECT_FALSE(absl::StrContains(map.Svg(), "nothing measured"));
  // A scale that several maps share: 100 of 1 .. 10000 is half way.
  map.low = 1;
  map.high = 10000;
  EXPECT_TRUE(absl::StrContains(map.Svg(), "fill-opacity=\"0.53\"><title>r, b: 100<"));
  map.value = {{0, -1, 0}};
  EXPECT_EQ(map.Svg(), "");
}

// A mark stands where its number is on the axis, in the row of its name.
TEST(Forest, MarksStandWhereTheirNumbersAre) {
  ForestChart chart("f", "t", "d");
  chart.series = {"m1", "m2"};
  chart.rows = {{"near", {{0, 0.1, 0.05, 0.15, "near m1"}, {1, 0.2, 0.2, 0.2, "near m2"}}, true},
                {"far", {{0, 0.9, 0.8, 1.0, "far m1"}}}};
  const std::string log = chart.Svg();
  EXPECT_THAT(log, testing::HasSubstr("class=\"name\">near</text>"));
  EXPECT_THAT(log, testing::HasSubstr(">far</text>"));
  EXPECT_THAT(log, testing::HasSubstr("<title>far m1</title>"));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr("class=\"zero\"")));  // 0.05 to 1: logarithmic
  chart.rows[0].marks[0].low = -0.05;
  EXPECT_THAT(chart.Svg(), testing::HasSubstr("class=\"zero\""));
  chart.rows[0].marks[0].x = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(chart.Svg(), "");
  EXPECT_EQ(ForestChart("f", "t", "d").Svg(), "");
}

}  // namespace
}  // namespace eaq

#include "eaq/quant/line_clusters.h"

#include <algorithm>
#include <limits>
#include <map>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

double Spread(const std::vector<double>& values, const std::vector<int>& cluster) {
  std::map<int, std::pair<double, int>> sums;
  for (size_t i = 0; i < values.size(); ++i) sums[cluster[i]].first += values[i], ++sums[cluster[i]].second;
  double spread = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto& [sum, count] = sums[cluster[i]];
    spread += (values[i] - sum / count) * (values[i] - sum / count);
  }
  return spread;
}

// Every way to give each value one of K clusters.
double LeastSpread(const std::vector<double>& values, int k) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<int> cluster(values.size(), 0);
  while (true) {
    least = std::min(least, Spread(values, cluster));
    size_t i = 0;
    while (i < cluster.size() && ++cluster[i] == k) cluster[i++] = 0;
    if (i == cluster.size()) return least;
  }
}

TEST(ClusterLine, IsAsGoodAsTheBestOfAllAssignments) {
  Rng rng(4, "line_clusters_test");
  for (int round = 0; round < 200; ++round) {
    const int k = 1 + round % 3;
    std::vector<double> values(1 + round % 8);
    for (double& v : values) v = 1e6 + static_cast<double>(rng.Below(round % 2 == 0 ? 5 : 1000));
    const auto cluster = ClusterLine(values, k);
    ASSERT_THAT(cluster, IsOk());
    EXPECT_NEAR(Spread(values, *cluster), LeastSpread(values, k), 1e-6);
    for (size_t a = 0; a < values.size(); ++a) {
      for (size_t b = 0; b < values.size(); ++b) {
        if (values[a] == values[b]) {
          EXPECT_EQ((*cluster)[a], (*cluster)[b]);
        } else if (values[a] < values[b]) {
          EXPECT_LE((*cluster)[a], (*cluster)[b]);  // rising
        }
      }
    }
  }
}

TEST(ClusterLine, ScaleAndShiftChangeNothing) {
  const std::vector<double> values = {3, 1, 4, 1, 5, 9, 2, 6};
  std::vector<double> other;
  for (const double v : values) other.push_back(1e-6 * v - 3);
  EXPECT_EQ(*ClusterLine(values, 3), *ClusterLine(other, 3));
  EXPECT_THAT(*ClusterLine({1, 9, 2, 8, 50}, 3), ElementsAre(0, 1, 0, 1, 2));
}

TEST(ClusterLine, FewerDistinctValuesThanClusters) {
  EXPECT_THAT(*ClusterLine({7, 7, 5}, 4), ElementsAre(1, 1, 0));
  EXPECT_TRUE(ClusterLine({}, 2)->empty());
}

TEST(ClusterLine, SaysWhatIsWrong) {
  EXPECT_THAT(ClusterLine({1}, 0).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("into 0 clusters")));
  EXPECT_THAT(ClusterLine({1, NAN}, 1).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("value 1 is")));
}

}  // namespace
}  // namespace eaq

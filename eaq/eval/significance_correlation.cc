#include "eaq/eval/significance_correlation.h"

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/eval/rank_correlation.h"
#include "eaq/proto/add_metric.h"

namespace eaq {

void AddSignificanceCorrelations(TrialResult& result) {
  std::map<int, std::vector<const TrialResult::ExpertTable*>> layers;
  for (const TrialResult::ExpertTable& table : result.expert_table()) {
    if (table.name() == "significance") layers[table.layer()].push_back(&table);
  }
  std::vector<std::tuple<std::string, int, double>> found;
  for (const auto& [layer, tables] : layers) {
    for (size_t a = 0; a < tables.size(); ++a) {
      for (size_t b = a + 1; b < tables.size(); ++b) {
        const std::vector<double> x(tables[a]->value().begin(), tables[a]->value().end());
        const std::vector<double> y(tables[b]->value().begin(), tables[b]->value().end());
        const absl::StatusOr<RankCorrelation> r = CorrelateRanks(x, y, /*seed=*/0);
        if (r.ok()) found.emplace_back(absl::StrCat(tables[a]->domain(), " | ", tables[b]->domain()), layer, r->rho);
      }
    }
  }
  for (const auto& [pair, layer, rho] : found) AddMetric("significance_rank_correlation", pair, rho, result, layer);
}

}  // namespace eaq

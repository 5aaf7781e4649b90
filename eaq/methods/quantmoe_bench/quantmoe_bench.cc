// Slot 3: QuantMoE-Bench, two widths and a rule that says who gets the wider one. README.md has the rules.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/quantmoe_bench/linear_score.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/stage.h"

namespace eaq::quantmoe_bench {
namespace {

// A unit with its place in the order of the rule, and whether the published rule widens it.
struct Candidate {
  std::pair<double, double> rank;  // the smallest first
  bool wide = false;
  AllocationUnit unit;
};

// Shared experts before attention before downs before all else; -1: a linear that keeps the scheme's width.
int Kind(const LinearId& id) {
  switch (id.role) {
    case Role::kSharedGate:
    case Role::kSharedUp:
    case Role::kSharedDown:
      return 1;
    case Role::kQ:
    case Role::kK:
    case Role::kV:
    case Role::kO:
      return 2;
    case Role::kDown:
      return id.expert >= 0 ? 3 : -1;
    default:
      return id.expert >= 0 ? 4 : -1;
  }
}

class Allocator : public AllocateSlot {
 public:
  Allocator(const QuantMoeBench& options, std::vector<int> widths) : options_(options), widths_(std::move(widths)) {}
  bool surveys() const override { return needs_profile() || options_.rule() == QuantMoeBench::LINEAR_SCORE; }
  bool needs_profile() const override { return options_.rule() == QuantMoeBench::FREQUENCY; }

  // FREQUENCY: of every expert its tokens. LINEAR_SCORE: of every expert the scores of gate, up, down.
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    std::vector<double> out;
    const int l = params.layer;
    for (int e = 0; context.config->IsMoe(l) && e < context.config->num_experts; ++e) {
      if (needs_profile()) {
        out.push_back(static_cast<double>(context.profile->OfOrNone({l, Role::kGate, e}).tokens));
        continue;
      }
      for (const Role part : {Role::kGate, Role::kUp, Role::kDown}) {
        const LinearId id{l, part, e};
        const absl::StatusOr<double> score = LinearScore(params.linears.at(id).weight.const_view());
        EAQ_RETURN_IF_ERROR(Annotate(score.status(), id.ToString()));
        out.push_back(*score);
      }
    }
    return out;
  }

  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    EAQ_ASSIGN_OR_RETURN(const std::vector<AllocationUnit> experts, RequireRoutedExperts(problem, "quantmoe_bench"));
    if (options_.rule() == QuantMoeBench::LAYER && !problem.budget && options_.first_layers() == 0 &&
        options_.last_layers() == 0) {
      return absl::InvalidArgumentError(
          "quantmoe_bench: rule LAYER without a scheme's budget widens first_layers and last_layers; expected one of "
          "them above 0");
    }
    std::vector<Candidate> candidates;
    switch (options_.rule()) {
      case QuantMoeBench::FREQUENCY:
      case QuantMoeBench::RANDOM: {
        EAQ_ASSIGN_OR_RETURN(candidates, WithinLayers(experts, surveys));
        break;
      }
      case QuantMoeBench::LINEAR_SCORE: {
        EAQ_ASSIGN_OR_RETURN(candidates, ByScore(EachLinear(experts), surveys));
        break;
      }
      case QuantMoeBench::LAYER:
        for (const AllocationUnit& expert : experts) candidates.push_back({{expert.layer, 0}, false, expert});
        break;
      case QuantMoeBench::KIND:
        for (const auto& [id, shape] : problem.linears) {
          const int kind = Kind(id);
          if (kind < 0 || (problem.budget && !problem.InScope(id))) continue;
          candidates.push_back({{kind, id.layer}, kind < 4, {id.layer, id.expert, {id}}});
        }
        break;
    }
    WidenEnds(experts, candidates);
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.rank < b.rank; });
    std::vector<AllocationUnit> ranked;
    std::vector<int> bits;
    for (Candidate& c : candidates) {
      ranked.push_back(std::move(c.unit));
      bits.push_back(widths_[c.wide ? 1 : 0]);
    }
    if (problem.budget) return PlanByRank(problem, ranked, widths_);
    return PlanOf(problem, ranked, bits);
  }

 private:
  // The experts of every layer by falling tokens, or in an order that is drawn: first those that stand first in their
  // layers, then the second, ...
  absl::StatusOr<std::vector<Candidate>> WithinLayers(const std::vector<AllocationUnit>& experts,
                                                      const std::vector<std::vector<double>>& surveys) const {
    Rng rng(options_.draw(), "quantmoe_bench/random");
    std::vector<Candidate> candidates;
    for (const auto& [begin, end] : LayerRuns(experts)) {
      std::vector<size_t> order(end - begin);
      std::iota(order.begin(), order.end(), begin);
      if (options_.rule() == QuantMoeBench::RANDOM) {
        rng.Shuffle(order);
      } else {
        std::map<size_t, double> tokens;
        for (const size_t i : order) {
          EAQ_ASSIGN_OR_RETURN(const auto of_expert, ExpertRecord(surveys, experts[i], 1, "quantmoe_bench"));
          tokens[i] = of_expert[0];
        }
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tokens[a] > tokens[b]; });
      }
      for (size_t r = 0; r < order.size(); ++r) {
        const bool wide = static_cast<int64_t>(r) < options_.experts_per_layer();
        candidates.push_back({{static_cast<double>(r), 0}, wide, experts[order[r]]});
      }
    }
    return candidates;
  }

  absl::StatusOr<std::vector<Candidate>> ByScore(const std::vector<AllocationUnit>& linears,
                                                 const std::vector<std::vector<double>>& surveys) const {
    std::vector<Candidate> candidates;
    for (const AllocationUnit& unit : linears) {
      const LinearId& id = unit.linears[0];
      EAQ_ASSIGN_OR_RETURN(const auto scores, ExpertRecord(surveys, unit, 3, "quantmoe_bench"));
      const int part = id.role == Role::kGate ? 0 : id.role == Role::kUp ? 1 : 2;
      candidates.push_back({{-scores[part], 0}, false, unit});
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.rank < b.rank; });
    const auto wide = static_cast<size_t>(std::floor(options_.share() * static_cast<double>(candidates.size())));
    for (size_t i = 0; i < wide; ++i) candidates[i].wide = true;
    return candidates;
  }

  // The experts of the first and last mixture layers stand before all others.
  void WidenEnds(const std::vector<AllocationUnit>& experts, std::vector<Candidate>& candidates) const {
    const auto runs = LayerRuns(experts);
    const auto layers = static_cast<int64_t>(runs.size());
    for (int64_t k = 0; k < layers; ++k) {
      if (k >= options_.first_layers() && k < layers - options_.last_layers()) continue;
      for (Candidate& c : candidates) {
        if (c.unit.expert < 0 || c.unit.layer != experts[runs[k].first].layer) continue;
        c.rank = {-1e300, static_cast<double>(c.unit.layer)};
        c.wide = true;
      }
    }
  }

  const QuantMoeBench options_;
  const std::vector<int> widths_;
};

EAQ_REGISTER_STAGE(
    AllocateSlot, QuantMoeBench, [](const QuantMoeBench& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
      EAQ_ASSIGN_OR_RETURN(std::vector<int> widths, WidthsFromProto("quantmoe_bench.bits", options.bits(), {2, 4}));
      const auto invalid = [](const std::string& what) {
        return absl::InvalidArgumentError(absl::StrCat("quantmoe_bench.", what));
      };
      if (widths.size() != 2) return invalid(absl::StrCat("bits is ", absl::StrJoin(widths, ", "), "; expected two"));
      if (options.experts_per_layer() < 0 || options.first_layers() < 0 || options.last_layers() < 0) {
        return invalid("experts_per_layer, first_layers and last_layers: expected 0 or more");
      }
      if (!(options.share() >= 0 && options.share() <= 1)) {
        return invalid(absl::StrCat("share is ", options.share(), "; expected 0 .. 1"));
      }
      return std::make_unique<Allocator>(options, std::move(widths));
    });

}  // namespace
}  // namespace eaq::quantmoe_bench

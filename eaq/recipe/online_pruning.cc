#include "eaq/recipe/online_pruning.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/layer.h"

namespace eaq {
namespace {

class RatioRecorder : public LayerObserver {
 public:
  RatioRecorder(int64_t k, std::vector<float>* ratios) : k_(k), ratios_(ratios) {}
  void OnRouter(int, ConstMatrixView, absl::Span<const int32_t>, absl::Span<const float> weights) override {
    for (size_t i = 0; i < weights.size(); ++i) {
      const int64_t rank = static_cast<int64_t>(i) % k_;
      if (rank > 0 && weights[i - rank] > 0) ratios_->push_back(weights[i] / weights[i - rank]);
    }
  }

 private:
  const int64_t k_;
  std::vector<float>* const ratios_;
};

double Quantile(std::vector<float> values, double quantile) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = quantile * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (static_cast<double>(values[above]) - values[below]);
}

}  // namespace

absl::Status ValidateOnlinePruning(const ModelConfig& config, const OnlinePruning& options) {
  const auto wrong = [](absl::string_view field, double found, absl::string_view expected) {
    return absl::InvalidArgumentError(absl::StrCat("online_pruning.", field, " is ", found, "; expected ", expected));
  };
  if (!(options.quantile() >= 0 && options.quantile() <= 1)) return wrong("quantile", options.quantile(), "0 .. 1");
  if (!(options.factor() >= 0 && options.factor() <= 16)) return wrong("factor", options.factor(), "0 .. 16");
  if (!(options.protect() >= 0 && options.protect() <= 1)) return wrong("protect", options.protect(), "0 .. 1");
  if (options.layers() < 0) return wrong("layers", options.layers(), "0 or more");
  if (config.num_experts < 1 || config.experts_per_token < 2) {
    return absl::InvalidArgumentError(absl::StrCat("online_pruning: ", config.experts_per_token, " of ",
                                                   config.num_experts,
                                                   " experts a token; expected a mixture with at least 2 a token"));
  }
  if (options.rule() == OnlinePruning::SECOND && config.experts_per_token > 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("online_pruning.rule is SECOND, the paper's, which is for 2 experts a token; this model has ",
                     config.experts_per_token, "; expected rule: EVERY"));
  }
  return absl::OkStatus();
}

absl::StatusOr<DropMeasure> MeasureDropping(const ModelConfig& config, const LayerParams& params,
                                            absl::Span<const Matrix> hidden, const OnlinePruning& options,
                                            const QuantizeOps& ops, ThreadPool& pool) {
  EAQ_ASSIGN_OR_RETURN(const auto plain, BuildLayer(config, params));
  LayerParams firsts = params;
  firsts.routing = WithDrop(params.routing, {.ratio = 1});
  EAQ_ASSIGN_OR_RETURN(const auto dropped, BuildLayer(config, std::move(firsts)));
  struct Part {
    std::vector<float> ratios;
    double change = 0, square = 0;
  };
  std::vector<Part> parts(hidden.size());
  std::vector<RatioRecorder> recorders;
  for (Part& part : parts) recorders.emplace_back(config.experts_per_token, &part.ratios);
  std::vector<LayerObserver*> observers;
  for (RatioRecorder& recorder : recorders) observers.push_back(&recorder);
  std::vector<Matrix> with(hidden.begin(), hidden.end()), without = with;
  EAQ_RETURN_IF_ERROR(ops.ForwardLayer(*plain, NoCodes, absl::MakeSpan(with), observers, pool));
  EAQ_RETURN_IF_ERROR(ops.ForwardLayer(*dropped, NoCodes, absl::MakeSpan(without), {}, pool));
  pool.ParallelFor(hidden.size(), [&](int64_t w) {
    Part& part = parts[w];
    for (int64_t i = 0; i < with[w].size(); ++i) {
      const double value = with[w].data()[i], difference = value - without[w].data()[i];
      part.change += difference * difference;
      part.square += value * value;
    }
  });
  Part all;
  for (const Part& part : parts) {
    all.ratios.insert(all.ratios.end(), part.ratios.begin(), part.ratios.end());
    all.change += part.change;
    all.square += part.square;
  }
  return DropMeasure{Quantile(std::move(all.ratios), options.quantile()), all.square > 0 ? all.change / all.square : 0};
}

absl::StatusOr<std::map<int, ExpertDrop>> ChooseDropping(const std::map<int, DropMeasure>& measures,
                                                         const OnlinePruning& options) {
  const auto all = static_cast<int64_t>(measures.size());
  int64_t count = options.layers();
  if (count == 0) count = std::max<int64_t>(1, std::llround(10.0 / 32.0 * static_cast<double>(all)));
  if (count > all) {
    return absl::InvalidArgumentError(
        absl::StrCat("online_pruning.layers is ", count, "; expected at most the number of mixture layers, ", all));
  }
  std::vector<int> order;
  for (const auto& [layer, measure] : measures) order.push_back(layer);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return measures.at(a).loss < measures.at(b).loss; });
  std::map<int, ExpertDrop> drops;
  for (int64_t i = 0; i < count; ++i) {
    const double ratio = std::min(1.0, options.factor() * measures.at(order[i]).ratio);
    drops[order[i]] = {static_cast<float>(ratio), static_cast<float>(options.protect())};
  }
  return drops;
}

std::shared_ptr<const RoutingPolicy> WithDrop(const std::shared_ptr<const RoutingPolicy>& routing,
                                              const ExpertDrop& drop) {
  RoutingPolicy policy = routing == nullptr ? RoutingPolicy() : *routing;
  policy.drop = drop;
  return std::make_shared<const RoutingPolicy>(std::move(policy));
}

}  // namespace eaq

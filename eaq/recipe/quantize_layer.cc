#include "eaq/recipe/quantize_layer.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/from_proto.h"
#include "eaq/quant/gptq.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/quantized_linear.h"

namespace eaq {
namespace {

// ||W - Q||_F^2 / ||W||_F^2 in float64; 0 for a matrix of zeros.
double RelativeError(const Matrix& w, const Matrix& q) {
  double error = 0, norm = 0;
  for (int64_t i = 0; i < w.size(); ++i) {
    const double d = static_cast<double>(w.data()[i]) - q.data()[i];
    error += d * d;
    norm += static_cast<double>(w.data()[i]) * w.data()[i];
  }
  return norm == 0 ? 0 : error / norm;
}

// tr((W-Q) H (W-Q)^T) / tr(W H W^T) = ||X (W-Q)^T||_F^2 / ||X W^T||_F^2 for the calibration inputs X.
std::optional<double> OutputError(const Matrix& w, const Matrix& q, const Hessian& h) {
  if (h.size != w.cols() || h.tokens == 0) return std::nullopt;
  const double norm = HessianLoss(w.view(), Matrix(w.rows(), w.cols()).const_view(), h);
  if (!(norm > 0)) return std::nullopt;
  return HessianLoss(w.view(), q.view(), h) / norm;
}

// What DecoderLayer::Create takes besides linears.
LayerParams WithoutLinears(const LayerParams& params) {
  LayerParams norms;
  norms.layer = params.layer;
  norms.input_norm = params.input_norm;
  norms.post_norm = params.post_norm;
  norms.q_norm = params.q_norm;
  norms.k_norm = params.k_norm;
  norms.qk_hadamard = params.qk_hadamard;
  norms.routing = params.routing;
  return norms;
}

// The rows of WEIGHT that PLAN keeps for the linear ID, as they stand in the state of no data set.
absl::StatusOr<RowCache> CacheOf(const LinearId& id, const Matrix& weight, const GridSpec& grid,
                                 const SwitchPlan& plan) {
  EAQ_ASSIGN_OR_RETURN(RowCache cache, MakeRowCache(weight.const_view(), plan.rows.at(id), grid, !plan.always_float16));
  cache.bits_of_set = plan.bits_of_set.at(id);
  if (plan.always_float16) cache.bits = kFloat16;
  return cache;
}

// What a policy does to the rows of the router, for the report; empty for none.
std::string RouterNote(const RoutingPolicy* routing, int64_t experts) {
  std::vector<std::string> notes;
  if (routing != nullptr && !routing->kept.empty()) {
    notes.push_back(
        absl::StrCat(experts - static_cast<int64_t>(routing->kept.size()), " of ", experts, " experts pruned"));
  }
  if (routing != nullptr && routing->drop) {
    notes.push_back(absl::StrCat("tokens drop experts below ", routing->drop->ratio, " of their first, but the ",
                                 100 * routing->drop->protect, " % most important"));
  }
  return absl::StrJoin(notes, "; ");
}

}  // namespace

absl::StatusOr<std::map<LinearId, GridSpec>> PlanLayer(const LayerParams& params, const BitPlan& allocated,
                                                       const RecipeSlots& slots, const LayerScheme& scheme) {
  std::map<LinearId, GridSpec> plan;
  for (const auto& [id, linear] : params.linears) {
    if (id.role == Role::kRouter && slots.router->weights().quantized()) plan[id] = slots.router->weights();
    if (!scheme.Covers(id)) continue;
    const auto it = allocated.find(id);
    if (it == allocated.end()) {
      return absl::InternalError(absl::StrCat("slot allocate gave no grid to ", id.ToString(), "; expected one for ",
                                              "every linear it was asked for"));
    }
    if (it->second.quantized()) plan[id] = it->second;
  }
  return plan;
}

absl::StatusOr<SolvedLinears> SolveLayer(const LayerContext& context, const LayerParams& params,
                                         const RecipeSlots& slots, const std::map<LinearId, GridSpec>& plan) {
  SolvedLinears solved;
  std::map<LinearId, GridSpec> rest = plan;
  const LinearId router{params.layer, Role::kRouter};
  if (rest.erase(router) > 0) {
    absl::StatusOr<SolvedLinear> result = slots.router->Solve(context, params, params.linears.at(router).weight.view());
    EAQ_RETURN_IF_ERROR(Annotate(result.status(), router.ToString()));
    solved.emplace(router, *std::move(result));
  }
  if (slots.solve->solves_whole_layers()) {
    EAQ_ASSIGN_OR_RETURN(SolvedLinears all, slots.solve->SolveLayer(context, params, rest));
    for (const auto& [id, grid] : rest) {
      if (all.count(id) == 0) return absl::InternalError(absl::StrCat("slot solve left out ", id.ToString()));
    }
    solved.merge(std::move(all));
    return solved;
  }
  EAQ_ASSIGN_OR_RETURN(SolvedLinears all, SolveEach(rest, *context.pool, [&](const LinearId& id, const GridSpec& grid) {
                         return slots.solve->Solve(id, params.linears.at(id).weight.view(),
                                                   context.profile->OfOrNone(id), grid, *context.ops);
                       }));
  solved.merge(std::move(all));
  return solved;
}

absl::StatusOr<QuantizedLayer> AssembleLayer(const ModelConfig& config, const LayerParams& params,
                                             const LayerProfile& profile, const SolvedLinears& solved,
                                             const RecipeSlots& slots, const LayerScheme& scheme, ThreadPool& pool,
                                             const SwitchPlan* switching) {
  struct Item {
    LinearId id;
    std::shared_ptr<const Linear> linear;
    LinearReport report;
    bool quantized = false;
    int64_t pruned = 0;          // weights that are gone with their expert
    bool stores_online = false;  // the first quantized one of those that share an online transform
    SizeAccount size;
    std::optional<RowCache> cache;
    std::map<int, std::shared_ptr<const Linear>> at;  // with the cached rows at another width
    absl::Status status;
  };
  std::vector<Item> items;
  std::set<const OnlineTransform*> stored;
  for (const auto& [id, linear] : params.linears) {
    Item& item = items.emplace_back();
    item.id = id;
    item.stores_online = linear.online != nullptr && solved.count(id) > 0 && stored.insert(linear.online.get()).second;
  }
  const auto assemble = [&](Item& item) -> absl::Status {
    const LinearParams& from = params.linears.at(item.id);
    if (item.id.expert >= 0 && params.routing != nullptr && !params.routing->Keeps(item.id.expert)) {
      item.pruned = from.weight.size();
      item.report.set_id(item.id.ToString());
      item.report.set_bits(0);
      item.report.set_stored_bits(0);
      item.report.set_weight_error(1);
      item.report.set_note("pruned");
      item.linear = std::make_shared<DenseLinear>(Matrix(from.weight.rows(), from.weight.cols()));  // never runs
      return absl::OkStatus();
    }
    const InputStatistics& input = profile.OfOrNone(item.id);
    EAQ_ASSIGN_OR_RETURN(ActivationQuantizer activation,
                         MakeActivation(item.id, profile, scheme, *slots.router, *slots.activation));
    LinearReport& report = item.report;
    report.set_id(item.id.ToString());
    report.set_bits(16);
    if (item.id.role == Role::kRouter && solved.count(item.id) == 0 && params.routing != nullptr &&
        !params.routing->kept.empty()) {
      item.pruned = (from.weight.rows() - static_cast<int64_t>(params.routing->kept.size())) * from.weight.cols();
    }
    report.set_stored_bits(16 * (from.weight.size() - item.pruned));
    if (item.id.role == Role::kRouter) {
      const std::string note = RouterNote(params.routing.get(), from.weight.rows());
      if (!note.empty()) report.set_note(note);
    }
    if (!activation.identity()) report.set_activation(activation.ToString());
    if (from.online != nullptr) {
      EAQ_RETURN_IF_ERROR(from.online->Validate(from.weight.cols()));
      report.set_online(from.online->ToString());
      report.set_online_operations(from.online->OperationsPerRow(from.weight.cols()));
    }
    const auto it = solved.find(item.id);
    if (it == solved.end()) {
      item.linear = std::make_shared<FakeQuantLinear>(from.weight, from.bias, std::move(activation), from.online);
      return absl::OkStatus();
    }
    item.quantized = true;
    const QuantizedMatrix& q = it->second.weight;
    if (q.rows != from.weight.rows() || q.cols != from.weight.cols()) {
      return absl::InternalError(absl::StrCat("slot solve returned [", q.rows, ", ", q.cols, "]; expected [",
                                              from.weight.rows(), ", ", from.weight.cols(), "]"));
    }
    EAQ_ASSIGN_OR_RETURN(const PackedMatrix packed, Pack(q));
    item.size = packed.size();
    Matrix weight = Dequantize(q);
    if (switching != nullptr && switching->rows.count(item.id) > 0) {
      EAQ_ASSIGN_OR_RETURN(item.cache, CacheOf(item.id, from.weight, q.grid, *switching));
      EAQ_RETURN_IF_ERROR(ApplyPatch(*item.cache, item.cache->bits, weight.view()));
      item.size.cache_bytes = RowCacheBytes(*item.cache);
      for (const int bits : item.cache->bits_of_set) {
        if (bits == item.cache->bits || bits == kAsRounded || item.at.count(bits) > 0) continue;
        Matrix patched = weight;
        EAQ_RETURN_IF_ERROR(ApplyPatch(*item.cache, bits, patched.view()));
        item.at[bits] = std::make_shared<FakeQuantLinear>(std::move(patched), from.bias, activation, from.online);
      }
    }
    report.set_bits(q.grid.bits);
    report.set_calibration_tokens(input.tokens);
    report.set_weight_error(RelativeError(from.weight, weight));
    if (const auto error = OutputError(from.weight, weight, input.second_moments)) report.set_output_error(*error);
    if (item.stores_online) item.size.online_bytes = from.online->StoredBytes();
    report.set_stored_bits(8 * item.size.total_bytes());
    if (!it->second.note.empty()) {
      report.set_note(report.has_note() ? absl::StrCat(report.note(), "; ", it->second.note) : it->second.note);
    }
    item.linear = std::make_shared<FakeQuantLinear>(std::move(weight), from.bias, std::move(activation), from.online);
    return absl::OkStatus();
  };
  pool.ParallelFor(items.size(), [&](int64_t i) { items[i].status = assemble(items[i]); });

  QuantizedLayer result;
  DecoderLayer::Linears linears;
  for (Item& item : items) {
    EAQ_RETURN_IF_ERROR(Annotate(item.status, item.id.ToString()));
    const LinearParams& from = params.linears.at(item.id);
    result.linears.push_back(std::move(item.report));
    if (item.quantized) {
      result.size.AddQuantized(item.size);
      result.size.AddUnquantized(from.bias.size());
    } else {
      const bool whole = item.pruned == static_cast<int64_t>(from.weight.size());
      result.size.AddUnquantized(from.weight.size() - item.pruned + (whole ? 0 : from.bias.size()));
    }
    result.size.AddPruned(item.pruned);
    if (item.cache) result.caches.emplace(item.id, *std::move(item.cache));
    linears[item.id] = std::move(item.linear);
  }
  for (const auto* norm : {&params.input_norm, &params.post_norm, &params.q_norm, &params.k_norm}) {
    result.size.AddUnquantized(norm->size());
  }
  std::shared_ptr<const AttentionOperands> operands;
  if (scheme.operands.quantized()) {
    EAQ_ASSIGN_OR_RETURN(QuantizedAttention made, slots.activation->MakeOperands(scheme.operands, config.head_dim));
    operands = std::make_shared<const QuantizedAttention>(std::move(made));
  }
  EAQ_ASSIGN_OR_RETURN(result.layer, DecoderLayer::Create(config, params, linears, operands));
  for (size_t set = 0; switching != nullptr && set < switching->sets.size(); ++set) {
    DecoderLayer::Linears of_set = linears;
    bool changed = false;
    for (const Item& item : items) {
      const auto cache = result.caches.find(item.id);
      if (cache == result.caches.end()) continue;
      const auto at = item.at.find(cache->second.bits_of_set[set]);
      if (at == item.at.end()) continue;
      of_set[item.id] = at->second;
      changed = true;
    }
    result.states.push_back(result.layer);
    if (!changed) continue;
    EAQ_ASSIGN_OR_RETURN(result.states.back(), DecoderLayer::Create(config, params, std::move(of_set), operands));
  }
  result.without_dropping = result.layer;
  if (params.routing != nullptr && params.routing->drop) {
    LayerParams norms = WithoutLinears(params);
    RoutingPolicy kept = *params.routing;
    kept.drop.reset();
    norms.routing = std::make_shared<const RoutingPolicy>(std::move(kept));
    EAQ_ASSIGN_OR_RETURN(result.without_dropping,
                         DecoderLayer::Create(config, norms, std::move(linears), std::move(operands)));
  }
  return result;
}

}  // namespace eaq

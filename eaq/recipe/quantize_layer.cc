#include "eaq/recipe/quantize_layer.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
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
                                                   context.profile->OfOrNone(id), grid);
                       }));
  solved.merge(std::move(all));
  return solved;
}

absl::StatusOr<QuantizedLayer> AssembleLayer(const ModelConfig& config, const LayerParams& params,
                                             const LayerProfile& profile, const SolvedLinears& solved,
                                             const RecipeSlots& slots, const LayerScheme& scheme, ThreadPool& pool) {
  struct Item {
    LinearId id;
    std::shared_ptr<const Linear> linear;
    LinearReport report;
    bool quantized = false;
    bool stores_online = false;  // the first quantized one of those that share an online transform
    SizeAccount size;
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
    const InputStatistics& input = profile.OfOrNone(item.id);
    EAQ_ASSIGN_OR_RETURN(ActivationQuantizer activation,
                         MakeActivation(item.id, profile, scheme, *slots.router, *slots.activation));
    LinearReport& report = item.report;
    report.set_id(item.id.ToString());
    report.set_bits(16);
    report.set_stored_bits(16 * from.weight.size());
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
    report.set_bits(q.grid.bits);
    report.set_calibration_tokens(input.tokens);
    report.set_weight_error(RelativeError(from.weight, weight));
    if (const auto error = OutputError(from.weight, weight, input.second_moments)) report.set_output_error(*error);
    if (item.stores_online) item.size.online_bytes = from.online->StoredBytes();
    report.set_stored_bits(8 * item.size.total_bytes());
    if (!it->second.note.empty()) report.set_note(it->second.note);
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
      result.size.AddUnquantized(from.weight.size() + from.bias.size());
    }
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
  EAQ_ASSIGN_OR_RETURN(result.layer, DecoderLayer::Create(config, params, std::move(linears), std::move(operands)));
  return result;
}

}  // namespace eaq

#include "eaq/methods/block_training/activation_hook.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/learned_grid.h"
#include "eaq/tensor/hadamard.h"

namespace eaq {
namespace {

std::pair<RowSite, int64_t> SiteOf(const LinearId& id, bool mixture) {
  switch (id.role) {
    case Role::kO:
      return {RowSite::kO, -1};
    case Role::kRouter:
      return {RowSite::kRouter, -1};
    case Role::kGate:
    case Role::kUp:
      return id.expert >= 0 ? std::pair(RowSite::kExpertGateUp, int64_t{id.expert})
                            : std::pair(RowSite::kCommonGateUp, int64_t{-1});
    case Role::kDown:
      return id.expert >= 0 ? std::pair(RowSite::kExpertDown, int64_t{id.expert})
                            : std::pair(RowSite::kCommonDown, int64_t{-1});
    case Role::kSharedGate:
    case Role::kSharedUp:
      return {RowSite::kCommonGateUp, -1};
    case Role::kSharedDown:
      return {RowSite::kCommonDown, -1};
    default:
      return {RowSite::kQkv, -1};
  }
}

// v <- v^T H^T / sqrt(n) for float rows.
void Inverse(absl::Span<float> v) {
  std::vector<double> exact(v.begin(), v.end());
  HadamardInverse(absl::MakeSpan(exact));
  std::copy(exact.begin(), exact.end(), v.begin());
}

}  // namespace

absl::StatusOr<LayerActivations> LayerActivations::Create(const LayerContext& context, const LayerParams& params) {
  LayerActivations result;
  const LayerScheme& scheme = *context.scheme;
  const bool mixture = context.config->IsMoe(params.layer);
  std::map<std::pair<RowSite, int64_t>, Site> sites;
  for (const auto& [id, linear] : params.linears) {
    Site site;
    site.online = linear.online;
    absl::StatusOr<ActivationQuantizer> made =
        MakeActivation(id, *context.profile, scheme, *context.router, *context.activation);
    EAQ_RETURN_IF_ERROR(Annotate(made.status(), id.ToString()));
    site.quantizer = *std::move(made);
    const auto [at, added] = sites.emplace(SiteOf(id, mixture), site);
    const auto& there = at->second.online;
    if (!added && there != linear.online &&
        (there == nullptr || linear.online == nullptr || *there != *linear.online)) {
      return absl::InvalidArgumentError(
          absl::StrCat(id.ToString(), " has another online transform than its neighbour that reads the same rows; ",
                       "expected the same for q, k and v, and for gate and up of an expert"));
    }
  }
  for (auto& [key, site] : sites) {
    if (!site.quantizer.identity() || site.online != nullptr) result.sites.emplace(key, std::move(site));
  }
  if (scheme.operands.quantized()) {
    EAQ_ASSIGN_OR_RETURN(result.operands, context.activation->MakeOperands(scheme.operands, context.config->head_dim));
  }
  result.head_dim = context.config->head_dim, result.qk_hadamard = params.qk_hadamard;
  result.num_heads = context.config->num_heads, result.num_kv_heads = context.config->num_kv_heads;
  return result;
}

void ActivationHook::Forward(RowSite site, int64_t expert, float* rows, int64_t n, int64_t width) {
  const auto it = activations_.sites.find({site, expert});
  if (it == activations_.sites.end() || n == 0) return;
  const auto& [quantizer, online] = it->second;
  if (online != nullptr) online->ApplyToInput(MatrixView(rows, n, width));
  if (gradient_ == ActivationGradient::kThroughScale) seen_[it->first].assign(rows, rows + n * width);
  quantizer.Apply(MatrixView(rows, n, width));
}

void ActivationHook::Backward(RowSite site, int64_t expert, float* gradient, int64_t n, int64_t width) {
  const auto it = activations_.sites.find({site, expert});
  if (it == activations_.sites.end() || n == 0) return;
  const auto& [quantizer, online] = it->second;
  if (gradient_ == ActivationGradient::kThroughScale && !quantizer.identity() && !quantizer.is_static()) {
    const auto grid = LearnedGrid<float>::Create(n, width, quantizer.spec(), /*soft=*/false, ScaleStorage::kFloat32);
    const std::vector<float> ratio(grid->grids(), quantizer.clip_ratio());
    grid->Backward(seen_.at(it->first).data(), nullptr, ratio.data(), ratio.data(), gradient, {.weight = gradient});
  }
  if (online != nullptr) online->ApplyToGradient(MatrixView(gradient, n, width));
}

void ActivationHook::Operands(float* q, float* k, int64_t ld_qk, float* v, int64_t ld_v, int64_t n) {
  if (!activations_.operands) return;
  const int64_t block = activations_.qk_hadamard, kv = activations_.num_kv_heads * activations_.head_dim;
  const MatrixView queries(q, n, activations_.num_heads * activations_.head_dim, ld_qk), keys(k, n, kv, ld_qk),
      values(v, n, kv, ld_v);
  // Rounded in the rotated basis, then back: the products, and with them the gradient, are the same.
  const auto turn = [&](void (*transform)(absl::Span<float>)) {
    for (const MatrixView& m : {queries, keys})
      for (int64_t r = 0; block > 0 && r < n; ++r)
        for (int64_t c = 0; c < m.cols; c += block) transform(m.row_span(r).subspan(c, block));
  };
  turn(HadamardTransform);
  activations_.operands->Apply(queries, keys, values);
  turn(Inverse);
}

}  // namespace eaq

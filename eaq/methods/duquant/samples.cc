#include "eaq/methods/duquant/samples.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/recipe/layer_inputs.h"
#include "kernels/backend.h"
#include "kernels/cpu/gemm.h"

namespace eaq::duquant {
namespace {

constexpr size_t kWindowsAtOnce = 16;  // memory alone depends on it

// The first COUNT rows of X, or all.
Matrix FirstRows(const Matrix& x, int64_t count) {
  Matrix rows(std::min(count, x.rows()), x.cols());
  std::copy_n(x.data(), rows.size(), rows.data());
  return rows;
}

void AppendRows(const Matrix& more, int64_t limit, Matrix& x) {
  const int64_t had = x.rows(), count = std::min(limit - had, more.rows());
  if (count <= 0) return;
  Matrix all(had + count, more.cols());
  std::copy_n(x.data(), x.size(), all.data());
  std::copy_n(more.data(), count * more.cols(), all.data() + x.size());
  x = std::move(all);
}

// ROWS: of each expert's gate and down from the sample, topped up to BUDGET with tokens of the windows.
absl::Status Balance(const LayerContext& context, const DecoderLayer& layer, const std::vector<LinearId>& experts,
                     int64_t budget, bool on_outputs, std::map<LinearId, Matrix>& rows) {
  for (const LinearId& id : experts) rows.at(id) = FirstRows(rows.at(id), budget);
  for (size_t begin = 0; begin < context.hidden.size(); begin += kWindowsAtOnce) {
    std::vector<LinearId> hungry;
    for (const LinearId& id : experts)
      if (rows.at(id).rows() < budget) hungry.push_back(id);
    if (hungry.empty()) break;
    const auto batch = context.hidden.subspan(begin, kWindowsAtOnce);
    std::vector<Matrix> windows(batch.begin(), batch.end());
    if (on_outputs) {
      EAQ_RETURN_IF_ERROR(context.ops->ForwardLayer(layer, NoCodes, absl::MakeSpan(windows), {}, *context.pool));
    }
    EAQ_ASSIGN_OR_RETURN(const auto inputs, CollectInputs(layer, windows, hungry, *context.ops, *context.pool));
    for (const auto& [id, more] : inputs) AppendRows(more, budget, rows.at(id));
  }
  return absl::OkStatus();
}

// What the expert's down reads when the expert reads X: silu(x Wgate^T) * (x Wup^T).
Matrix Activated(const Matrix& x, const Matrix& gate, const Matrix& up) {
  const int64_t n = x.rows(), width = gate.rows(), in = x.cols();
  Matrix g(n, width), u(n, width);
  kernels::LinearForward(x.data(), in, gate.data(), g.data(), width, n, width, in);
  kernels::LinearForward(x.data(), in, up.data(), u.data(), width, n, width, in);
  kernels::SiluMul(g.data(), u.data(), g.data(), g.size());
  return g;
}

}  // namespace

int64_t ExpertBudget(const ModelConfig& config, int64_t window, double ratio) {
  const double tokens = static_cast<double>(config.experts_per_token) / config.num_experts * window * ratio;
  return std::max<int64_t>(1, static_cast<int64_t>(tokens));
}

absl::StatusOr<std::map<LinearId, Matrix>> LayerSamples(const LayerContext& context, const LayerParams& params,
                                                        const SampleOptions& options) {
  if (context.hidden.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", params.layer, ": no calibration window; expected at least one to find rotations on"));
  }
  EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(*context.config, params));
  std::vector<LinearId> owners, experts;
  for (const auto& [id, linear] : params.linears) {
    if (LayerProfile::InputOwner(id) != id) continue;
    owners.push_back(id);
    if (id.expert >= 0) experts.push_back(id);
  }
  const std::vector<Matrix> sample = SampleWindows(options.sample, context.hidden);
  EAQ_ASSIGN_OR_RETURN(auto rows, CollectInputs(*layer, sample, owners, *context.ops, *context.pool));
  if (!experts.empty() && options.expert_token_ratio > 0) {
    const int64_t budget = ExpertBudget(*context.config, context.hidden[0].rows(), options.expert_token_ratio);
    // Real tokens are the windows' in turn from the start; an averaged window is a sample of its own before them.
    if (!options.sample.averaged) {
      for (const LinearId& id : experts) rows.at(id) = Matrix(0, rows.at(id).cols());
    }
    EAQ_RETURN_IF_ERROR(Balance(context, *layer, experts, budget, options.balance_on_outputs, rows));
  }
  for (auto& [id, x] : rows) {
    if (id.expert < 0 || options.expert_token_ratio == 0) x = SampleRows(options.sample, x);
  }
  for (const LinearId& id : experts) {
    Matrix& x = rows.at(id);
    if (id.role != Role::kGate || x.rows() > 0) continue;
    const LinearId router{params.layer, Role::kRouter}, up{id.layer, Role::kUp, id.expert},
        down{id.layer, Role::kDown, id.expert};
    x = FirstRows(rows.at(router), context.hidden[0].rows());
    // Where other transforms made the expert's input different from the router's, down has no sample.
    const bool same = params.linears.at(router).online == params.linears.at(id).online;
    if (same) rows.at(down) = Activated(x, params.linears.at(id).weight, params.linears.at(up).weight);
    if (same && params.linears.at(down).online != nullptr)
      params.linears.at(down).online->ApplyToInput(rows.at(down).view());
  }
  for (const auto& [id, x] : rows) {
    if (AllFinite(x.values())) continue;
    return absl::DataLossError(absl::StrCat("the calibration sample of ", id.ToString(),
                                            " holds NaN or infinity; expected finite numbers: the model overflows"));
  }
  return rows;
}

}  // namespace eaq::duquant

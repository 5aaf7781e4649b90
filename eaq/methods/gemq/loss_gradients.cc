#include "eaq/methods/gemq/loss_gradients.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/layer.h"
#include "eaq/train/layer_pass.h"
#include "eaq/train/products.h"

namespace eaq::gemq {
namespace {

// Rows of logits in memory at a time.
constexpr int64_t kRows = 256;

absl::Status Check(const ModelContext& context) {
  const ModelConfig& config = context.source->config();
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_RETURN_IF_ERROR(Annotate(CheckTrainableLayer(config, l), "gradients by the passes of train/"));
  }
  for (size_t w = 0; w < context.calibration.size(); ++w) {
    const size_t tokens = context.calibration[w].window.ids.size();
    if (tokens >= 2) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("calibration window ", w, " has ", tokens, " tokens; a next-token loss needs at least 2"));
  }
  return absl::OkStatus();
}

// HIDDEN [T, hidden], the last layer's output, becomes the gradient by it.
void HeadGradient(const ModelEnds& ends, absl::Span<const int32_t> ids, Matrix& hidden) {
  const OuterParams& outer = ends.params();
  const Matrix& head = outer.head.size() == 0 ? outer.embedding : outer.head;
  const int64_t n = hidden.rows(), d = hidden.cols(), vocabulary = head.rows();
  std::vector<float> r(kRows), norm_gradient(d);  // the latter is nobody's
  Matrix normed(kRows, d), logits(kRows, vocabulary), by_normed(kRows, d), gradient(n, d);
  for (int64_t begin = 0; begin + 1 < n; begin += kRows) {  // the last token predicts nothing
    const int64_t rows = std::min(kRows, n - 1 - begin);
    const float* x = hidden.row(begin);
    train::RmsNorm<float>(x, d, outer.final_norm.data(), static_cast<float>(ends.config().rms_norm_eps), normed.data(),
                          d, r.data(), rows, d);
    train::Product<float>(false, true, rows, vocabulary, d, 1, normed.data(), d, head.data(), d, 0, logits.data(),
                          vocabulary);
    for (int64_t i = 0; i < rows; ++i) {  // d loss / d logits = (softmax - one-hot) / (T - 1)
      train::Softmax<float>(logits.row(i), vocabulary);
      logits(i, ids[begin + i + 1]) -= 1;
      for (int64_t v = 0; v < vocabulary; ++v) logits(i, v) /= static_cast<float>(n - 1);
    }
    train::Product<float>(false, false, rows, d, vocabulary, 1, logits.data(), vocabulary, head.data(), d, 0,
                          by_normed.data(), d);
    train::RmsNormBackward<float>(x, d, outer.final_norm.data(), r.data(), by_normed.data(), d, gradient.row(begin), d,
                                  false, norm_gradient.data(), rows, d);
  }
  hidden = std::move(gradient);
}

// GRADIENT by the outputs of PARAMS' layer becomes that by its inputs HIDDEN. A window runs alone, so the numbers do
// not depend on how windows fall to shares.
void LayerGradient(const ModelConfig& config, LayerParams params, absl::Span<const Matrix> hidden, ThreadPool& pool,
                   std::vector<Matrix>& gradient) {
  // The same function without run-time transforms, which the passes do not know: x T W^T = x (W T^T)^T. Those of
  // queries and keys change no product.
  for (auto& [id, linear] : params.linears) {
    if (linear.online != nullptr) linear.online->ApplyToGradient(linear.weight.view());
  }
  const ParameterLayout layout = SingleLayerLayout(config, params.layer);
  const std::vector<float> flat = FlattenLayer(layout, params);
  const int64_t windows = hidden.size(), shares = std::min<int64_t>(windows, 4);
  pool.ParallelFor(shares, [&](int64_t share) {
    std::unique_ptr<LayerPass<float>> pass;
    int64_t length = 0;
    std::vector<float> out, weights(layout.size);  // gradients by the weights: nobody's
    for (int64_t w = share; w < windows; w += shares) {
      const int64_t n = hidden[w].rows();
      if (n != length) pass = std::make_unique<LayerPass<float>>(layout, 1, n), length = n;
      out.resize(hidden[w].size());
      pass->Forward(flat.data(), n, hidden[w].data(), out.data());
      pass->Backward(flat.data(), n, hidden[w].data(), gradient[w].data(), weights.data());
    }
  });
}

}  // namespace

absl::Status WalkLossGradients(const ModelContext& context, LayerVisitor visit) {
  EAQ_RETURN_IF_ERROR(Check(context));
  const ModelConfig& config = context.source->config();
  const int64_t windows = context.calibration.size(), layers = config.num_layers;
  // entrance[l]: the inputs of layer l; of the layer after the last: the final hidden states, then gradients.
  std::vector<std::vector<Matrix>> entrance(layers + 1, std::vector<Matrix>(windows));
  context.pool->ParallelFor(windows, [&](int64_t w) {
    const auto& ids = context.calibration[w].window.ids;
    entrance[0][w] = Matrix(ids.size(), config.hidden_size);
    context.ends->Embed(ids, entrance[0][w].view());
  });
  for (int64_t l = 0; l < layers; ++l) {
    context.progress->Update("gradients, forwards", l, layers);
    EAQ_ASSIGN_OR_RETURN(LayerParams params, context.source->LoadLayer(static_cast<int>(l)));
    for (const auto& [id, linear] : params.linears) {
      if (linear.bias.empty()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(id.ToString(), " has a bias; expected none: the passes of train/ do not know biases"));
    }
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, std::move(params)));
    context.pool->ParallelFor(windows, [&](int64_t w) {
      entrance[l + 1][w] = entrance[l][w];
      layer->Forward(entrance[l + 1][w].view());
    });
  }
  std::vector<Matrix> gradient = std::move(entrance[layers]);
  context.pool->ParallelFor(
      windows, [&](int64_t w) { HeadGradient(*context.ends, context.calibration[w].window.ids, gradient[w]); });
  for (int64_t l = layers - 1; l >= 0; --l) {
    context.progress->Update("gradients, backwards", layers - 1 - l, layers);
    for (const Matrix& g : gradient) {
      const auto values = g.values();
      if (std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) continue;
      return absl::DataLossError(absl::StrCat("the gradient of the loss by the output of layer ", l,
                                              " is not finite; look for NaN or infinities in the weights"));
    }
    EAQ_ASSIGN_OR_RETURN(const LayerParams params, context.source->LoadLayer(static_cast<int>(l)));
    EAQ_RETURN_IF_ERROR(Annotate(visit(params, entrance[l], gradient), absl::StrCat("layer ", l)));
    if (l > 0) LayerGradient(config, params, entrance[l], *context.pool, gradient);
    entrance[l].clear();
  }
  return absl::OkStatus();
}

}  // namespace eaq::gemq

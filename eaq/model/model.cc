#include "eaq/model/model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "kernels/backend.h"

namespace eaq {

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const ModelSource& source) {
  std::unique_ptr<Model> model(new Model);
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source.LoadOuter());
  model->ends_ = std::make_unique<ModelEnds>(source.config(), std::move(outer));
  for (int l = 0; l < source.config().num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, source.LoadLayer(l));
    EAQ_ASSIGN_OR_RETURN(std::unique_ptr<DecoderLayer> layer, BuildLayer(source.config(), std::move(params)));
    model->layers_.push_back(std::move(layer));
  }
  return model;
}

absl::Status Model::CheckIds(absl::Span<const int32_t> ids) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= config().vocab_size) {
      return absl::OutOfRangeError(absl::StrCat("token ", i, " has id ", ids[i], "; the model's vocabulary has ",
                                                config().vocab_size,
                                                " entries (does the tokenizer belong to this model?)"));
    }
  }
  return absl::OkStatus();
}

void Model::ForwardHidden(absl::Span<const int32_t> ids, MatrixView hidden, LayerObserver* observer) const {
  ends_->Embed(ids, hidden);
  for (const auto& layer : layers_) layer->Forward(hidden, observer);
}

std::vector<double> Model::LogProbs(absl::Span<const int32_t> ids) const {
  const int64_t n = static_cast<int64_t>(ids.size());
  if (n < 2) return {};
  Matrix hidden(n, config().hidden_size);
  ForwardHidden(ids, hidden.view());
  constexpr int64_t kChunk = 128;  // bounds the memory of the logits
  Matrix logits(std::min(kChunk, n - 1), config().vocab_size);
  std::vector<double> result(n - 1);
  for (int64_t begin = 0; begin < n - 1; begin += kChunk) {
    const int64_t count = std::min(kChunk, n - 1 - begin);
    ends_->Logits(hidden.const_view().Rows(begin, count), logits.view().Rows(0, count));
    for (int64_t i = 0; i < count; ++i) {
      const float* row = logits.row(i);
      result[begin + i] = static_cast<double>(row[ids[begin + i + 1]]) - kernels::LogSumExp(row, logits.cols());
    }
  }
  return result;
}

KvCache Model::NewCache(int64_t capacity) const {
  KvCache cache;
  const int64_t width = config().num_kv_heads * config().head_dim;
  for (size_t l = 0; l < layers_.size(); ++l)
    cache.layers.push_back({Matrix(capacity, width), Matrix(capacity, width), 0});
  return cache;
}

void Model::Extend(absl::Span<const int32_t> ids, KvCache& cache, absl::Span<float> logits) const {
  Matrix hidden(static_cast<int64_t>(ids.size()), config().hidden_size);
  ends_->Embed(ids, hidden.view());
  for (size_t l = 0; l < layers_.size(); ++l) layers_[l]->ForwardCached(hidden.view(), cache.layers[l]);
  ends_->Logits(hidden.const_view().Rows(hidden.rows() - 1, 1),
                MatrixView(logits.data(), 1, static_cast<int64_t>(logits.size())));
}

void Model::ExtendEach(absl::Span<const int32_t> ids, absl::Span<KvCache* const> caches, MatrixView logits,
                       LayerObserver* observer) const {
  Matrix hidden(static_cast<int64_t>(ids.size()), config().hidden_size);
  ends_->Embed(ids, hidden.view());
  std::vector<LayerCache*> of_layer(caches.size());
  for (size_t l = 0; l < layers_.size(); ++l) {
    for (size_t i = 0; i < caches.size(); ++i) of_layer[i] = &caches[i]->layers[l];
    layers_[l]->ForwardEach(hidden.view(), of_layer, observer);
  }
  if (logits.rows > 0) ends_->Logits(hidden.view(), logits);
}

}  // namespace eaq

#include "eaq/model/layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/feed_forward.h"
#include "eaq/model/rope.h"
#include "eaq/model/routing_policy.h"
#include "eaq/model/token_importance.h"
#include "eaq/tensor/hadamard.h"
#include "kernels/backend.h"

namespace eaq {
namespace {

// Memory of one thread, kept between calls.
struct AttentionScratch {
  Matrix normed, q, k, v, context, output;
};

AttentionScratch& ThreadScratch() {
  static thread_local AttentionScratch scratch;
  return scratch;
}

absl::Status CheckVector(int layer, absl::string_view name, size_t found, int64_t expected) {
  if (static_cast<int64_t>(found) == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("layer ", layer, ": ", name, " has ", found, " values; expected ", expected));
}

}  // namespace

struct DecoderLayer::Impl {
  ModelConfig config;
  int layer = 0;
  LayerParams norms;
  const Linear *q = nullptr, *k = nullptr, *v = nullptr, *o = nullptr;
  std::unique_ptr<FeedForward> feed_forward;
  std::shared_ptr<const AttentionOperands> operands;
  double protect = 0;  // this share of a sequence keeps all of its experts

  // q, k and v of the normed rows, after norms and clipping; KEYS and VALUES may lie in a cache.
  void Project(ConstMatrixView x, MatrixView queries, MatrixView keys, MatrixView values,
               LayerObserver* observer) const;
  // RoPE, and the Hadamard blocks after it; the rows stand at positions first, first + 1, ...
  void Rotate(int64_t first, MatrixView queries, MatrixView keys) const;
  // context = attention of the queries at positions first ... KEYS and VALUES are those of all positions up to theirs.
  void Attend(ConstMatrixView queries, int64_t first, const float* keys, const float* values, MatrixView context) const;
  void Normalize(MatrixView rows, const std::vector<float>& weight, int64_t heads) const;
  // normed = the rows after the norm before attention.
  void Enter(ConstMatrixView hidden, MatrixView normed) const;
  kernels::AttentionShape Shape(int64_t queries, int64_t first) const;
  // hidden += o(context); hidden += feed-forward. RECEIVED: the attention that each row received; empty: no row is
  // protected from dropping.
  void Leave(ConstMatrixView context, MatrixView hidden, LayerObserver* observer,
             absl::Span<const double> received = {}) const;
  void Run(MatrixView hidden, int64_t first, LayerCache* cache, LayerObserver* observer) const;
  void RunEach(MatrixView hidden, absl::Span<LayerCache* const> caches, LayerObserver* observer) const;
};

void DecoderLayer::Impl::Normalize(MatrixView rows, const std::vector<float>& weight, int64_t heads) const {
  if (config.qk_norm == QkNorm::kFullWidth) {
    kernels::RmsNorm(rows.data, rows.stride, weight.data(), config.rms_norm_eps, rows.data, rows.stride, rows.rows,
                     rows.cols);
  } else if (config.qk_norm == QkNorm::kPerHead) {
    for (int64_t r = 0; r < rows.rows; ++r)
      kernels::RmsNorm(rows.row(r), config.head_dim, weight.data(), config.rms_norm_eps, rows.row(r), config.head_dim,
                       heads, config.head_dim);
  }
}

void DecoderLayer::Impl::Project(ConstMatrixView x, MatrixView queries, MatrixView keys, MatrixView values,
                                 LayerObserver* observer) const {
  if (observer != nullptr)
    for (const Role role : {Role::kQ, Role::kK, Role::kV}) observer->OnLinearInput({layer, role}, x, {});
  q->Forward(x, queries);
  k->Forward(x, keys);
  v->Forward(x, values);
  Normalize(queries, norms.q_norm, config.num_heads);
  Normalize(keys, norms.k_norm, config.num_kv_heads);
  if (config.clip_qkv) {
    const float limit = static_cast<float>(*config.clip_qkv);
    for (const MatrixView& m : {queries, keys, values})
      for (int64_t r = 0; r < m.rows; ++r)
        for (float& value : m.row_span(r)) value = std::clamp(value, -limit, limit);
  }
}

void DecoderLayer::Impl::Rotate(int64_t first, MatrixView queries, MatrixView keys) const {
  const auto rope = GetRopeTable(config, first + queries.rows);
  kernels::RotaryHalfSplit(queries.data, queries.stride, rope->cosines.row(first), rope->sines.row(first), queries.rows,
                           config.num_heads, config.head_dim);
  kernels::RotaryHalfSplit(keys.data, keys.stride, rope->cosines.row(first), rope->sines.row(first), keys.rows,
                           config.num_kv_heads, config.head_dim);
  if (const int64_t block = norms.qk_hadamard; block > 0) {
    for (const MatrixView& m : {queries, keys})
      for (int64_t r = 0; r < m.rows; ++r)
        for (int64_t c = 0; c < m.cols; c += block) HadamardTransform(m.row_span(r).subspan(c, block));
  }
}

kernels::AttentionShape DecoderLayer::Impl::Shape(int64_t queries, int64_t first) const {
  return {.queries = queries,
          .first = first,
          .heads = config.num_heads,
          .kv_heads = config.num_kv_heads,
          .head_dim = config.head_dim,
          .window = config.sliding_window,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)))};
}

void DecoderLayer::Impl::Attend(ConstMatrixView queries, int64_t first, const float* keys, const float* values,
                                MatrixView context) const {
  const int64_t kv_width = config.num_kv_heads * config.head_dim;
  const kernels::AttentionShape shape = Shape(queries.rows, first);
  kernels::Attention(shape, queries.data, queries.stride, keys, kv_width, values, kv_width, context.data,
                     context.stride);
}

void DecoderLayer::Impl::Enter(ConstMatrixView hidden, MatrixView normed) const {
  kernels::RmsNorm(hidden.data, hidden.stride, norms.input_norm.data(), config.rms_norm_eps, normed.data, normed.stride,
                   hidden.rows, config.hidden_size);
}

void DecoderLayer::Impl::Leave(ConstMatrixView context, MatrixView hidden, LayerObserver* observer,
                               absl::Span<const double> received) const {
  AttentionScratch& s = ThreadScratch();
  const int64_t n = hidden.rows;
  s.output.Resize(n, config.hidden_size);
  if (observer != nullptr) observer->OnLinearInput({layer, Role::kO}, context, {});
  o->Forward(context, s.output.view());
  for (int64_t t = 0; t < n; ++t) kernels::Axpy(1.0f, s.output.row(t), hidden.row(t), config.hidden_size);

  kernels::RmsNorm(hidden.data, hidden.stride, norms.post_norm.data(), config.rms_norm_eps, s.normed.data(),
                   config.hidden_size, n, config.hidden_size);
  if (received.empty()) {
    feed_forward->Add(s.normed.view(), hidden, observer);
  } else {
    feed_forward->Add(s.normed.view(), hidden, observer, MostImportant(received, hidden, protect));
  }
}

void DecoderLayer::Impl::Run(MatrixView hidden, int64_t first, LayerCache* cache, LayerObserver* observer) const {
  const int64_t n = hidden.rows, width = config.num_heads * config.head_dim,
                kv_width = config.num_kv_heads * config.head_dim;
  if (n == 0) return;
  AttentionScratch& s = ThreadScratch();
  s.normed.Resize(n, config.hidden_size);
  s.q.Resize(n, width);
  s.context.Resize(n, width);
  MatrixView keys, values;
  if (cache != nullptr) {
    keys = cache->keys.view().Rows(first, n);
    values = cache->values.view().Rows(first, n);
  } else {
    s.k.Resize(n, kv_width);
    s.v.Resize(n, kv_width);
    keys = s.k.view();
    values = s.v.view();
  }
  Enter(hidden, s.normed.view());
  Project(s.normed.view(), s.q.view(), keys, values, observer);
  Rotate(first, s.q.view(), keys);
  if (operands != nullptr) operands->Apply(s.q.view(), keys, values);
  Attend(s.q.view(), first, keys.data - first * kv_width, values.data - first * kv_width, s.context.view());
  // In decoding no token is protected: what it will receive is not known yet.
  std::vector<double> received;
  if (protect > 0 && first == 0 && n > 1) received = AttentionReceived(Shape(n, 0), s.q.view(), keys);
  Leave(s.context.view(), hidden, observer, received);
}

void DecoderLayer::Impl::RunEach(MatrixView hidden, absl::Span<LayerCache* const> caches,
                                 LayerObserver* observer) const {
  const int64_t n = hidden.rows, width = config.num_heads * config.head_dim,
                kv_width = config.num_kv_heads * config.head_dim;
  if (n == 0) return;
  AttentionScratch& s = ThreadScratch();
  s.normed.Resize(n, config.hidden_size);
  s.q.Resize(n, width);
  s.context.Resize(n, width);
  s.k.Resize(n, kv_width);
  s.v.Resize(n, kv_width);
  Enter(hidden, s.normed.view());
  Project(s.normed.view(), s.q.view(), s.k.view(), s.v.view(), observer);
  for (int64_t i = 0; i < n; ++i) Rotate(caches[i]->length, s.q.view().Rows(i, 1), s.k.view().Rows(i, 1));
  if (operands != nullptr) operands->Apply(s.q.view(), s.k.view(), s.v.view());
  for (int64_t i = 0; i < n; ++i) {
    LayerCache& cache = *caches[i];
    std::copy_n(s.k.row(i), kv_width, cache.keys.row(cache.length));
    std::copy_n(s.v.row(i), kv_width, cache.values.row(cache.length));
    Attend(s.q.view().Rows(i, 1), cache.length, cache.keys.data(), cache.values.data(), s.context.view().Rows(i, 1));
  }
  Leave(s.context.view(), hidden, observer);
}

DecoderLayer::~DecoderLayer() = default;

const ModelConfig& DecoderLayer::config() const { return impl_->config; }
const LayerParams& DecoderLayer::norms() const { return impl_->norms; }
const AttentionOperands* DecoderLayer::operands() const { return impl_->operands.get(); }

absl::StatusOr<std::unique_ptr<DecoderLayer>> DecoderLayer::Create(const ModelConfig& config, const LayerParams& norms,
                                                                   Linears linears,
                                                                   std::shared_ptr<const AttentionOperands> operands) {
  const int layer = norms.layer;
  EAQ_RETURN_IF_ERROR(CheckVector(layer, "input_norm", norms.input_norm.size(), config.hidden_size));
  EAQ_RETURN_IF_ERROR(CheckVector(layer, "post_norm", norms.post_norm.size(), config.hidden_size));
  EAQ_RETURN_IF_ERROR(CheckVector(layer, "q_norm", norms.q_norm.size(), QNormSize(config)));
  EAQ_RETURN_IF_ERROR(CheckVector(layer, "k_norm", norms.k_norm.size(), KNormSize(config)));
  if (norms.qk_hadamard != 0 &&
      (norms.qk_hadamard < 0 || config.head_dim % norms.qk_hadamard != 0 || !HadamardExists(norms.qk_hadamard))) {
    return absl::InvalidArgumentError(absl::StrCat("layer ", layer, ": no Hadamard blocks of ", norms.qk_hadamard,
                                                   " in heads of ", config.head_dim, " channels"));
  }
  if (norms.routing != nullptr) {
    if (!config.IsMoe(layer)) {
      return absl::InvalidArgumentError(absl::StrCat("layer ", layer, " has a routing policy and no experts"));
    }
    EAQ_RETURN_IF_ERROR(Annotate(norms.routing->Validate(config), absl::StrCat("layer ", layer)));
  }
  for (const auto& [id, shape] : LinearShapes(config, layer)) {
    const auto it = linears.find(id);
    if (it == linears.end() || it->second == nullptr)
      return absl::InvalidArgumentError(absl::StrCat("linear ", id.ToString(), " is missing"));
    if (it->second->out_features() != shape.first || it->second->in_features() != shape.second) {
      return absl::InvalidArgumentError(absl::StrCat("linear ", id.ToString(), " is [", it->second->out_features(),
                                                     ", ", it->second->in_features(), "]; expected [", shape.first,
                                                     ", ", shape.second, "]"));
    }
  }
  std::unique_ptr<DecoderLayer> result(new DecoderLayer);
  result->linears_ = std::move(linears);
  const auto find = [&](const LinearId& id) { return result->linears_.at(id).get(); };
  auto impl = std::make_unique<Impl>();
  impl->config = config;
  impl->layer = layer;
  impl->norms.layer = layer;
  impl->norms.input_norm = norms.input_norm;
  impl->norms.post_norm = norms.post_norm;
  impl->norms.q_norm = norms.q_norm;
  impl->norms.k_norm = norms.k_norm;
  impl->norms.qk_hadamard = norms.qk_hadamard;
  impl->norms.routing = norms.routing;
  impl->operands = std::move(operands);
  impl->q = find({layer, Role::kQ});
  impl->k = find({layer, Role::kK});
  impl->v = find({layer, Role::kV});
  impl->o = find({layer, Role::kO});
  impl->feed_forward = std::make_unique<FeedForward>(config, layer, find, norms.routing);
  if (norms.routing != nullptr && norms.routing->drop) impl->protect = norms.routing->drop->protect;
  result->impl_ = std::move(impl);
  return result;
}

void DecoderLayer::Forward(MatrixView hidden, LayerObserver* observer) const {
  impl_->Run(hidden, 0, nullptr, observer);
}

void DecoderLayer::ForwardCached(MatrixView hidden, LayerCache& cache, LayerObserver* observer) const {
  impl_->Run(hidden, cache.length, &cache, observer);
  cache.length += hidden.rows;
}

void DecoderLayer::ForwardEach(MatrixView hidden, absl::Span<LayerCache* const> caches, LayerObserver* observer) const {
  impl_->RunEach(hidden, caches, observer);
  for (LayerCache* cache : caches) ++cache->length;
}

absl::StatusOr<std::unique_ptr<DecoderLayer>> BuildLayer(const ModelConfig& config, LayerParams params) {
  DecoderLayer::Linears linears;
  for (auto& [id, linear] : params.linears)
    linears[id] =
        std::make_shared<DenseLinear>(std::move(linear.weight), std::move(linear.bias), std::move(linear.online));
  return DecoderLayer::Create(config, params, std::move(linears));
}

}  // namespace eaq

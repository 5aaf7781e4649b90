#include "eaq/methods/omniquant/equivalent_transform.h"

#include <algorithm>

namespace eaq {

template <typename T>
EquivalentTransform<T>::EquivalentTransform(const ParameterLayout& layout, bool qk)
    : layout_(layout), norms_(layout.config.qk_norm != QkNorm::kNone) {
  const ModelConfig& c = layout.config;
  const ParameterLayout::Layer& o = layout.layers[0];
  const int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  const auto add = [&](int64_t& at, int64_t& size, int64_t n) { at = scales_.size, size = n, scales_.size += n; };
  add(scales_.attention, scales_.attention_size, d);
  add(scales_.feed_forward, scales_.feed_forward_size, d);
  if (c.num_heads == c.num_kv_heads) add(scales_.value, scales_.value_size, kv);
  if (qk) add(scales_.qk, scales_.qk_size, kv / 2);

  using Rows = typename Edit::Rows;
  const bool rows = qk && !norms_, value = scales_.value_size > 0;
  edits_.push_back({o.qkv, q, d, scales_.attention, rows ? Rows::kQueries : Rows::kNone});
  edits_.push_back({o.qkv + q * d, kv, d, scales_.attention, rows ? Rows::kKeys : Rows::kNone});
  edits_.push_back({o.qkv + (q + kv) * d, kv, d, scales_.attention, value ? Rows::kValue : Rows::kNone});
  if (value) edits_.push_back({o.o, d, q, scales_.value, Rows::kNone});
  if (o.router >= 0) {
    edits_.push_back({o.router, c.num_experts, d, scales_.feed_forward, Rows::kNone});
    for (int64_t e = 0; e < c.num_experts; ++e)
      edits_.push_back(
          {o.gate_up + e * 2 * c.expert_width * d, 2 * c.expert_width, d, scales_.feed_forward, Rows::kNone});
  }
  if (o.common_width > 0)
    edits_.push_back({o.common_gate_up, 2 * o.common_width, d, scales_.feed_forward, Rows::kNone});
}

template <typename T>
int64_t EquivalentTransform<T>::RowScale(typename Edit::Rows rows, int64_t i) const {
  if (rows == Edit::Rows::kValue) return scales_.value + i;
  const ModelConfig& c = layout_.config;
  const int64_t half = c.head_dim / 2, group = rows == Edit::Rows::kQueries ? c.num_heads / c.num_kv_heads : 1;
  return scales_.qk + i / c.head_dim / group * half + i % c.head_dim % half;
}

template <typename T>
void EquivalentTransform<T>::Forward(const T* original, const T* s, T* edited) const {
  const ParameterLayout::Layer& o = layout_.layers[0];
  using Rows = typename Edit::Rows;
  std::copy_n(original, layout_.size, edited);
  for (int64_t j = 0; j < scales_.attention_size; ++j) {
    edited[o.input_norm + j] = original[o.input_norm + j] / s[scales_.attention + j];
    edited[o.post_norm + j] = original[o.post_norm + j] / s[scales_.feed_forward + j];
  }
  if (norms_ && scales_.qk_size > 0) {
    const ModelConfig& c = layout_.config;
    for (int64_t j = 0; j < c.num_heads * c.head_dim; ++j) edited[o.q_norm + j] /= s[RowScale(Rows::kQueries, j)];
    for (int64_t j = 0; j < c.num_kv_heads * c.head_dim; ++j) edited[o.k_norm + j] *= s[RowScale(Rows::kKeys, j)];
  }
  for (const Edit& e : edits_) {
    const T* columns = s + e.column;
    for (int64_t i = 0; i < e.rows; ++i) {
      T row = 1;
      if (e.by_row != Rows::kNone) row = s[RowScale(e.by_row, i)];
      if (e.by_row == Rows::kValue || e.by_row == Rows::kQueries) row = 1 / row;
      const T* from = original + e.at + i * e.cols;
      T* to = edited + e.at + i * e.cols;
#pragma omp simd
      for (int64_t j = 0; j < e.cols; ++j) to[j] = from[j] * row * columns[j];
    }
  }
}

// With w' = w s_j r_i:  ds_j = sum_i g w r_i;  dr_i = sum_j g w s_j, and r = 1 / t:  dt = -dr r^2.
template <typename T>
void EquivalentTransform<T>::Backward(const T* original, const T* s, const T* gradient, T* ds) const {
  const ParameterLayout::Layer& o = layout_.layers[0];
  using Rows = typename Edit::Rows;
  std::fill_n(ds, scales_.size, T(0));
  for (int64_t j = 0; j < scales_.attention_size; ++j) {
    const T a = s[scales_.attention + j], f = s[scales_.feed_forward + j];
    ds[scales_.attention + j] -= gradient[o.input_norm + j] * original[o.input_norm + j] / (a * a);
    ds[scales_.feed_forward + j] -= gradient[o.post_norm + j] * original[o.post_norm + j] / (f * f);
  }
  if (norms_ && scales_.qk_size > 0) {
    const ModelConfig& c = layout_.config;
    for (int64_t j = 0; j < c.num_heads * c.head_dim; ++j) {
      const int64_t at = RowScale(Rows::kQueries, j);
      ds[at] -= gradient[o.q_norm + j] * original[o.q_norm + j] / (s[at] * s[at]);
    }
    for (int64_t j = 0; j < c.num_kv_heads * c.head_dim; ++j)
      ds[RowScale(Rows::kKeys, j)] += gradient[o.k_norm + j] * original[o.k_norm + j];
  }
  for (const Edit& e : edits_) {
    const T* columns = s + e.column;
    T* d_columns = ds + e.column;
    for (int64_t i = 0; i < e.rows; ++i) {
      const bool inverse = e.by_row == Rows::kValue || e.by_row == Rows::kQueries;
      const int64_t at = e.by_row == Rows::kNone ? -1 : RowScale(e.by_row, i);
      const T scale = at < 0 ? T(1) : s[at], row = inverse ? 1 / scale : scale;
      const T *w = original + e.at + i * e.cols, *g = gradient + e.at + i * e.cols;
      T d_row = 0;
#pragma omp simd reduction(+ : d_row)
      for (int64_t j = 0; j < e.cols; ++j) {
        const T gw = g[j] * w[j];
        d_columns[j] += gw * row;
        d_row += gw * columns[j];
      }
      if (at >= 0) ds[at] += inverse ? -d_row * row * row : d_row;
    }
  }
}

template class EquivalentTransform<float>;
template class EquivalentTransform<double>;

}  // namespace eaq

// OmniQuant's equivalent transform of one decoder layer: scales s that move magnitude between a linear and what stands
// before it, without changing the layer's function, and the gradient of s from the gradient of the edited parameters.
//
//   norm -> q, k, v                       norm / s,      columns of q, k, v * s
//   norm -> router, experts, shared       norm / s,      columns of router, gates and ups * s  (dense: gate, up)
//   v -> o                                rows of v / s, columns of o * s;       only without grouped queries
//   q <-> k                               rows of q / s, rows of k * s, or their norm gains where there are norms; s
//   the
//                                         same for both halves of a rotary pair and for all queries of a key head
//
// All on the flat arrays of train/ (SingleLayerLayout, LinearOffsets). T = double: for proofs.
#ifndef EAQ_METHODS_OMNIQUANT_EQUIVALENT_TRANSFORM_H_
#define EAQ_METHODS_OMNIQUANT_EQUIVALENT_TRANSFORM_H_

#include <cstdint>
#include <vector>

#include "eaq/train/parameters.h"

namespace eaq {

// Where the scales of each kind lie in the array s; sizes of 0 where a kind does not apply.
struct ScaleLayout {
  int64_t attention = 0, attention_size = 0;        // [hidden]
  int64_t feed_forward = 0, feed_forward_size = 0;  // [hidden]
  int64_t value = 0, value_size = 0;                // [heads * head_dim]
  int64_t qk = 0, qk_size = 0;                      // [kv_heads * head_dim / 2]
  int64_t size = 0;
};

template <typename T>
class EquivalentTransform {
 public:
  // LAYOUT (of SingleLayerLayout) must outlive the transform. QK: scale q against k; it changes nothing unless queries
  // and keys are quantized.
  EquivalentTransform(const ParameterLayout& layout, bool qk);

  const ScaleLayout& scales() const { return scales_; }

  // EDITED from ORIGINAL, [layout.size] each, and S [scales().size].
  void Forward(const T* original, const T* s, T* edited) const;
  // DS [scales().size] from GRADIENT [layout.size], of EDITED; written.
  void Backward(const T* original, const T* s, const T* gradient, T* ds) const;

 private:
  // A matrix [rows, cols] at AT: edited(i, j) = original(i, j) * s[column + j] * s[row of i]^power.
  struct Edit {
    int64_t at, rows, cols;
    int64_t column = -1;  // -1: no scale of columns
    enum class Rows { kNone, kValue, kQueries, kKeys } by_row = Rows::kNone;
  };
  // The scale of row I in s, and the power (1 or -1) it takes.
  int64_t RowScale(typename Edit::Rows rows, int64_t i) const;

  const ParameterLayout& layout_;
  const bool norms_;  // q and k have norms, which then carry their scales
  ScaleLayout scales_;
  std::vector<Edit> edits_;
};

extern template class EquivalentTransform<float>;
extern template class EquivalentTransform<double>;

}  // namespace eaq

#endif  // EAQ_METHODS_OMNIQUANT_EQUIVALENT_TRANSFORM_H_

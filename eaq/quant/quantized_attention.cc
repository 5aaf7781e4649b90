#include "eaq/quant/quantized_attention.h"

#include "eaq/base/status_macros.h"

namespace eaq {

absl::StatusOr<QuantizedAttention> QuantizedAttention::Create(const GridSpec& grid, int64_t head_dim, double clip_ratio,
                                                              double value_clip_ratio) {
  QuantizedAttention attention;
  attention.head_dim_ = head_dim;
  EAQ_ASSIGN_OR_RETURN(attention.keys_, ActivationQuantizer::Dynamic(grid, clip_ratio));
  EAQ_ASSIGN_OR_RETURN(attention.values_, ActivationQuantizer::Dynamic(grid, value_clip_ratio));
  return attention;
}

void QuantizedAttention::Apply(MatrixView q, MatrixView k, MatrixView v) const {
  const auto heads = [this](const ActivationQuantizer& quantizer, MatrixView m) {
    for (int64_t c = 0; c < m.cols; c += head_dim_) quantizer.Apply(m.Cols(c, head_dim_));
  };
  heads(keys_, q);
  heads(keys_, k);
  heads(values_, v);
}

}  // namespace eaq

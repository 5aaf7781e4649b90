// Which tokens of a sequence matter most: attention received times the size of the hidden state (MC's token protection,
// specs/related_methods.md 1.2).
//
//   importance(t) = received(t) * ||h_t||_1
//   received(t)   = mean over heads of (sum over the queries that see t of their softmax weight on t) / their number
#ifndef EAQ_MODEL_TOKEN_IMPORTANCE_H_
#define EAQ_MODEL_TOKEN_IMPORTANCE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"

namespace eaq {

// Of every position of a whole sequence (shape.first is 0): queries[n, heads * head_dim], keys[n, kv_heads * head_dim]
// after RoPE. Softmax rows in float32, sums in float64. A second pass over the attention's products.
std::vector<double> AttentionReceived(const kernels::AttentionShape& shape, ConstMatrixView queries,
                                      ConstMatrixView keys);

// 1 for the SHARE of the rows of hidden[n, width] that are the most important, rounded down but at least one; of equals
// the first. All 0 where SHARE is 0.
std::vector<uint8_t> MostImportant(absl::Span<const double> received, ConstMatrixView hidden, double share);

}  // namespace eaq

#endif  // EAQ_MODEL_TOKEN_IMPORTANCE_H_

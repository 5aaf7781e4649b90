// The size of a whole quantized model, as two honest figures: over the quantized linears, and over everything.
//
//   ModelSize size;
//   size.AddQuantized(packed.size());
//   size.AddUnquantized(embedding_parameters);     // stored as bf16
//   size.bits_per_quantized_weight();  size.bits_per_parameter();
#ifndef EAQ_QUANT_SIZE_ACCOUNT_H_
#define EAQ_QUANT_SIZE_ACCOUNT_H_

#include <cstdint>

#include "eaq/quant/packing.h"

namespace eaq {

struct ModelSize {
  SizeAccount quantized;  // sum over the quantized linears, and the pruned, which weigh nothing
  int64_t quantized_linears = 0;
  int64_t unquantized_parameters = 0;  // embeddings, norms, head, linears left alone
  int64_t unquantized_bytes = 0;       // 2 per parameter

  void AddQuantized(const SizeAccount& linear);
  void AddUnquantized(int64_t parameters);
  // Weights that are left out for good, 0 bits each.
  void AddPruned(int64_t weights) { quantized.weights += weights; }
  void Add(const ModelSize& part);

  int64_t parameters() const { return quantized.weights + unquantized_parameters; }
  int64_t total_bytes() const { return quantized.total_bytes() + unquantized_bytes; }
  // Codes, scales, zeros and indices of the quantized linears, per weight of these and of the pruned. 16 when none is
  // quantized; bits_per_parameter() of a model that is pruned alone.
  double bits_per_quantized_weight() const;
  // The whole model, per parameter; 16 for an empty one.
  double bits_per_parameter() const;
};

}  // namespace eaq

#endif  // EAQ_QUANT_SIZE_ACCOUNT_H_

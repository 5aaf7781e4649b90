#include "eaq/quant/size_account.h"

namespace eaq {

void ModelSize::AddQuantized(const SizeAccount& linear) {
  quantized.weights += linear.weights;
  quantized.code_bytes += linear.code_bytes;
  quantized.scale_bytes += linear.scale_bytes;
  quantized.zero_bytes += linear.zero_bytes;
  quantized.group_index_bytes += linear.group_index_bytes;
  ++quantized_linears;
}

void ModelSize::AddUnquantized(int64_t parameters) {
  unquantized_parameters += parameters;
  unquantized_bytes += 2 * parameters;
}

double ModelSize::bits_per_quantized_weight() const {
  return quantized.weights == 0 ? 16.0 : quantized.bits_per_weight();
}

double ModelSize::bits_per_parameter() const {
  return parameters() == 0 ? 16.0 : 8.0 * static_cast<double>(total_bytes()) / static_cast<double>(parameters());
}

}  // namespace eaq

#include "eaq/quant/size_account.h"

namespace eaq {

namespace {

void Accumulate(const SizeAccount& part, SizeAccount& whole) {
  whole.weights += part.weights;
  whole.code_bytes += part.code_bytes;
  whole.scale_bytes += part.scale_bytes;
  whole.zero_bytes += part.zero_bytes;
  whole.group_index_bytes += part.group_index_bytes;
  whole.group_width_bytes += part.group_width_bytes;
  whole.online_bytes += part.online_bytes;
  whole.cache_bytes += part.cache_bytes;
}

}  // namespace

void ModelSize::AddQuantized(const SizeAccount& linear) {
  Accumulate(linear, quantized);
  ++quantized_linears;
}

void ModelSize::Add(const ModelSize& part) {
  Accumulate(part.quantized, quantized);
  quantized_linears += part.quantized_linears;
  unquantized_parameters += part.unquantized_parameters;
  unquantized_bytes += part.unquantized_bytes;
}

void ModelSize::AddUnquantized(int64_t parameters) {
  unquantized_parameters += parameters;
  unquantized_bytes += 2 * parameters;
}

double ModelSize::bits_per_quantized_weight() const {
  if (quantized.weights == 0) return 16.0;
  return quantized_linears == 0 ? bits_per_parameter() : quantized.bits_per_weight();
}

double ModelSize::bits_per_parameter() const {
  return parameters() == 0 ? 16.0 : 8.0 * static_cast<double>(total_bytes()) / static_cast<double>(parameters());
}

}  // namespace eaq

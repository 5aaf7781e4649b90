// Models with random weights, for tests and benchmarks: no file, any shape, the same numbers for the same seed.
#ifndef EAQ_MODEL_SYNTHETIC_H_
#define EAQ_MODEL_SYNTHETIC_H_

#include <cstdint>
#include <memory>

#include "eaq/model/params.h"

namespace eaq {

// A small OLMoE: hidden 32, 2 layers, 4 heads, 8 experts top-2 of width 24, vocabulary 96.
ModelConfig TinyConfig();

// Linears ~ N(0, 1/in), norms near 1, embedding ~ N(0, 1).
LayerParams RandomLayer(const ModelConfig& config, int layer, uint64_t seed);
OuterParams RandomOuter(const ModelConfig& config, uint64_t seed);
std::shared_ptr<const ModelSource> RandomModel(const ModelConfig& config, uint64_t seed);

}  // namespace eaq

#endif  // EAQ_MODEL_SYNTHETIC_H_

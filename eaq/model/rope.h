// Tables of rotary angles: cos and sin of position * inv_freq_i, inv_freq_i = theta^(-2i/d), i < d/2, as transformers
// computes them: frequencies and angles rounded to float32, the functions of the rounded angle.
#ifndef EAQ_MODEL_ROPE_H_
#define EAQ_MODEL_ROPE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "eaq/model/config.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// inv_freq[head_dim / 2], with Llama 3's scaling when the configuration asks for it.
std::vector<float> InverseFrequencies(const ModelConfig& config);

struct RopeTable {
  Matrix cosines;  // [positions, head_dim / 2]
  Matrix sines;
};

// A table with at least POSITIONS rows. Tables are made once per configuration of the rotation and shared by all layers
// and threads; one that is too short is replaced by one at least twice as long. Thread-safe.
std::shared_ptr<const RopeTable> GetRopeTable(const ModelConfig& config, int64_t positions);

}  // namespace eaq

#endif  // EAQ_MODEL_ROPE_H_

#include "eaq/model/rope.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numbers>

namespace eaq {
namespace {

std::shared_ptr<const RopeTable> MakeTable(const std::vector<float>& frequencies, int64_t positions) {
  auto table = std::make_shared<RopeTable>();
  const int64_t half = static_cast<int64_t>(frequencies.size());
  table->cosines = Matrix(positions, half);
  table->sines = Matrix(positions, half);
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequencies[i];
      table->cosines(p, i) = static_cast<float>(std::cos(static_cast<double>(angle)));
      table->sines(p, i) = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  return table;
}

}  // namespace

std::vector<float> InverseFrequencies(const ModelConfig& config) {
  std::vector<float> frequencies(config.head_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = static_cast<float>(std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / config.head_dim));
  if (!config.llama3_rope) return frequencies;
  // transformers' rope_type llama3: long wavelengths are divided by `factor`, short ones stay, between them a blend.
  const Llama3Rope& r = *config.llama3_rope;
  const double original = static_cast<double>(r.original_max_position_embeddings);
  for (float& f : frequencies) {
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength > original / r.low_freq_factor) {
      f = static_cast<float>(f / r.factor);
    } else if (wavelength >= original / r.high_freq_factor) {
      const double smooth = (original / wavelength - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor);
      f = static_cast<float>((1 - smooth) * f / r.factor + smooth * f);
    }
  }
  return frequencies;
}

std::shared_ptr<const RopeTable> GetRopeTable(const ModelConfig& config, int64_t positions) {
  static std::mutex* const mutex = new std::mutex;
  static auto* const tables = new std::map<std::vector<float>, std::shared_ptr<const RopeTable>>;
  const std::vector<float> frequencies = InverseFrequencies(config);
  const std::lock_guard<std::mutex> lock(*mutex);
  std::shared_ptr<const RopeTable>& table = (*tables)[frequencies];
  if (table == nullptr || table->cosines.rows() < positions) {
    const int64_t before = table == nullptr ? 128 : table->cosines.rows();
    table = MakeTable(frequencies, std::max(positions, 2 * before));
  }
  return table;
}

}  // namespace eaq

// kernels/cuda/drop_experts.h against the rule in double precision.
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cuda/drop_experts.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

struct Result {
  std::vector<float> weights;
  std::vector<int32_t> sent;
};

Result Drop(const std::vector<float>& weights, const std::vector<int32_t>& chosen, int64_t tokens, int64_t k,
            float ratio, const std::vector<int32_t>& keep, Checker& c) {
  DeviceArray<float> dw("weights", weights);
  DeviceArray<int32_t> dc("chosen", chosen), dk("keep", keep), sent("sent", tokens * k);
  c.Expect(cuda::DropExperts(dw.data(), dc.data(), tokens, k, ratio, keep.empty() ? nullptr : dk.data(), sent.data(),
                             nullptr) == 0,
           "launch");
  return {dw.Download(), sent.Download()};
}

EAQ_CHECK_CASE(DropExperts) {
  Random random(c.seed());
  for (const int64_t k : {1, 2, 3, 8, 32}) {
    for (const int64_t tokens : {1, 5, 200}) {
      for (const float ratio : {0.0f, 0.4f, 1.0f}) {
        std::vector<float> weights;
        for (int64_t t = 0; t < tokens; ++t) {
          double weight = 0.25 + random.Uniform();
          for (int64_t i = 0; i < k; ++i) {
            weights.push_back(static_cast<float>(weight));
            weight *= 0.5 + 0.5 * random.Uniform();
          }
        }
        const std::vector<int32_t> chosen = random.Integers<int32_t>(tokens * k, 0, 63);
        std::vector<int32_t> keep;
        if (ratio > 0.5f) keep = random.Integers<int32_t>(tokens, 0, 1);
        const Result got = Drop(weights, chosen, tokens, k, ratio, keep, c);
        for (int64_t t = 0; t < tokens; ++t) {
          const float* const row = &weights[t * k];
          const bool kept = !keep.empty() && keep[t] != 0;
          double all = 0, left = 0;
          const auto drops = [&](int64_t i) { return !kept && i > 0 && row[i] < ratio * row[0]; };
          for (int64_t i = 0; i < k; ++i) {
            all += row[i];
            if (!drops(i)) left += row[i];
          }
          for (int64_t i = 0; i < k; ++i) {
            const double want = drops(i) ? 0 : row[i] * (all / left);
            c.Near(got.weights[t * k + i], want, static_cast<double>(2 * k + 4) * 0x1p-24 * want, "weight", t * k + i);
            c.Expect(got.sent[t * k + i] == (drops(i) ? -1 : chosen[t * k + i]), "token ", t, ", place ", i, ": sent ",
                     got.sent[t * k + i]);
          }
        }
      }
    }
  }
}

// Weights at the ratio stay, zeros are nobody's, a row of zeros loses all; and what is refused.
EAQ_CHECK_CASE(DropExpertsEdges) {
  const std::vector<int32_t> chosen = {7, 3, 5};
  const auto sent = [&](const std::vector<float>& weights, const std::vector<int32_t>& keep) {
    return Drop(weights, chosen, 1, 3, 0.5f, keep, c).sent;
  };
  c.Same(sent({0.5f, 0.25f, 0.2f}, {}), {7, 3, -1}, "at the ratio");
  c.Same(sent({0.5f, 0.25f, 0.0f}, {1}), {7, 3, -1}, "a zero of a token that keeps all");
  c.Same(sent({0.0f, 0.0f, 0.0f}, {}), {-1, -1, -1}, "zeros");
  c.Same(Drop({1, 0.25f, 0.25f}, chosen, 1, 3, 0.5f, {}, c).weights, {1.5f, 0, 0}, "the sum stays");
  c.Expect(cuda::DropExperts(nullptr, nullptr, 1, 0, 1, nullptr, nullptr, nullptr) != 0, "k of 0");
  c.Expect(cuda::DropExperts(nullptr, nullptr, -1, 2, 1, nullptr, nullptr, nullptr) != 0, "negative tokens");
  c.Expect(cuda::DropExperts(nullptr, nullptr, 0, 2, 1, nullptr, nullptr, nullptr) == 0, "no tokens");
}

}  // namespace
}  // namespace eaq::kernels::selftest

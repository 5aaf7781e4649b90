// The GPU's activation quantizer (its source, emulated) and the CPU's give the same bits.
#include <cstring>
#include <limits>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/tensor/matrix.h"
#include "gtest/gtest.h"
#include "kernels/cuda/fake_quant.h"

namespace eaq {
namespace {

TEST(CudaAgreesTest, FakeQuantPerToken) {
  Rng rng(1, "cuda_agrees");
  for (const int64_t n : {1, 5, 64, 129, 512}) {
    for (const int bits : {2, 3, 4, 8}) {
      for (const double clip_ratio : {1.0, 0.9}) {
        Matrix x(3, n);
        for (int64_t r = 0; r < x.rows(); ++r)
          for (int64_t c = 0; c < n; ++c) x(r, c) = static_cast<float>(rng.Normal() * (r == 1 ? 1e-20 : 3.0) + r);
        x(2, n / 2) = n == 64 ? std::numeric_limits<float>::infinity() : 40.0f;
        Matrix gpu = x;
        GridSpec spec;
        spec.bits = bits;
        spec.kind = GridKind::kAsymmetric;
        spec.granularity = Granularity::kChannel;
        EAQ_ASSERT_OK_AND_ASSIGN(const ActivationQuantizer cpu, ActivationQuantizer::Dynamic(spec, clip_ratio));
        cpu.Apply(x.view());
        ASSERT_EQ(kernels::cuda::FakeQuantPerToken(gpu.data(), n, gpu.rows(), n, bits, static_cast<float>(clip_ratio),
                                                   nullptr),
                  0);
        for (int64_t r = 0; r < x.rows(); ++r) {
          for (int64_t c = 0; c < n; ++c) {
            const bool same = x(r, c) == gpu(r, c) || (x(r, c) != x(r, c) && gpu(r, c) != gpu(r, c));
            ASSERT_TRUE(same) << "n " << n << " bits " << bits << " at " << r << ", " << c << ": " << x(r, c)
                              << " on the CPU, " << gpu(r, c) << " emulated";
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace eaq

// kernels/cuda/norm.h against kernels/reference, in double precision on the very float inputs.
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda/norm.h"
#include "kernels/reference/reference.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

constexpr double kEps = 0x1p-24;

struct Shape {
  int64_t rows, n, pad;  // the stride is n + pad
};

// A warp and a block a row, vectors and scalars, rows that fill the last block in part, rows too long for registers.
constexpr Shape kShapes[] = {{1, 1, 0},    {3, 7, 2},    {9, 32, 0},    {5, 128, 4},  {8, 250, 1},  {2, 1024, 0},
                             {3, 1028, 8}, {2, 1026, 0}, {2, 2048, 16}, {1, 8192, 0}, {1, 8196, 0}, {1, 2049, 0}};

// A float has a relative error of 3 eps (header); the bf16 of it 2^-8 more.
template <typename Out>
void CheckNorm(Checker& c, bool add) {
  constexpr bool kFloat = sizeof(Out) == 4;
  Random random(c.seed());
  for (const Shape& s : kShapes) {
    const int64_t ld = s.n + s.pad;
    const std::vector<float> x = random.Normals(s.rows * ld, 3), delta = random.Normals(s.rows * ld),
                             weight = random.Normals(s.n, 2);
    DeviceArray<float> device_x("x", x), device_delta("delta", delta), device_weight("weight", weight);
    DeviceArray<Out> device_y("y", s.rows * ld);
    const int error =
        add ? cuda::AddRmsNorm(device_x.data(), ld, device_delta.data(), ld, device_weight.data(), 1e-5,
                               device_y.data(), ld, s.rows, s.n, nullptr)
            : cuda::RmsNorm(device_x.data(), ld, device_weight.data(), 1e-5, device_y.data(), ld, s.rows, s.n, nullptr);
    c.Expect(error == 0, "launch: error ", error);
    const std::vector<float> x_after = device_x.Download();
    const std::vector<Out> y = device_y.Download();
    reference::Doubles packed, weights(weight.begin(), weight.end());
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t i = 0; i < ld; ++i) {
        const int64_t at = r * ld + i;
        const float want = add && i < s.n ? x[at] + delta[at] : x[at];
        c.Expect(x_after[at] == want, "x[", r, ", ", i, "] of n = ", s.n, " is ", x_after[at], ", expected ", want);
        if (i < s.n) packed.push_back(want);
      }
    }
    const reference::Doubles want = reference::RmsNorm(packed, weights, 1e-5, s.rows, s.n);
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t i = 0; i < s.n; ++i) {
        const double expected = want[r * s.n + i];
        double got;
        if constexpr (kFloat) {
          got = y[r * ld + i];
        } else {
          got = cuda::ToFloat(y[r * ld + i]);
        }
        c.Near(got, expected, (3.01 * kEps + (kFloat ? 0 : 0x1p-8)) * std::fabs(expected) + 1e-38, "y", r * s.n + i);
      }
    }
  }
}

EAQ_CHECK_CASE(NormFloat) { CheckNorm<float>(c, false); }
EAQ_CHECK_CASE(NormBf16) { CheckNorm<cuda::Bf16>(c, false); }
EAQ_CHECK_CASE(NormAddFloat) { CheckNorm<float>(c, true); }
EAQ_CHECK_CASE(NormAddBf16) { CheckNorm<cuda::Bf16>(c, true); }

EAQ_CHECK_CASE(NormInPlaceAndBadInput) {
  Random random(c.seed());
  std::vector<float> x = random.Normals(4 * 128);
  const std::vector<float> weight = random.Normals(128);
  x[128 + 5] = std::numeric_limits<float>::quiet_NaN();
  for (int i = 0; i < 128; ++i) x[2 * 128 + i] = 0;       // a row of zeros stays one
  for (int i = 0; i < 128; ++i) x[3 * 128 + i] *= 1e25f;  // squares beyond float32
  DeviceArray<float> in("x", x), device_weight("weight", weight), out("y", 4 * 128);
  c.Expect(cuda::RmsNorm(in.data(), 128, device_weight.data(), 1e-5, out.data(), 128, 4, 128, nullptr) == 0, "launch");
  c.Expect(cuda::RmsNorm(in.data(), 128, device_weight.data(), 1e-5, in.data(), 128, 4, 128, nullptr) == 0, "launch");
  const std::vector<float> y = out.Download(), in_place = in.Download();
  c.Same(in_place, y, "in place");
  for (int i = 0; i < 128; ++i) {
    c.Expect(std::isfinite(y[i]), "row 0");
    c.Expect(std::isnan(y[128 + i]), "NaN spreads over its row");
    c.Expect(y[2 * 128 + i] == 0, "zeros");
    c.Expect(std::isfinite(y[3 * 128 + i]) && std::fabs(y[3 * 128 + i]) < 100, "a loud row");
  }
  c.Expect(cuda::RmsNorm(in.data(), 127, device_weight.data(), 1e-5, out.data(), 128, 4, 128, nullptr) != 0, "stride");
  c.Expect(cuda::RmsNorm(in.data(), 128, device_weight.data(), 1e-5, out.data(), 128, 0, 128, nullptr) == 0, "no rows");
}

}  // namespace
}  // namespace eaq::kernels::selftest

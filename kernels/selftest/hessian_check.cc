// kernels/cuda/hessian.h against the sum in double precision.
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cuda/hessian.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

struct Shape {
  int64_t tokens, n, pad;
};

// Of the sum of magnitudes: derived in hessian.h.
constexpr double kBound = 2.6e-6;
// Of the norm: roundings are independent, but truncation of the two large MMAs of a step has a bias of about an ulp.
constexpr double kDistance = 5e-7;

void CheckShape(Checker& c, const Shape& s, bool weighted) {
  Random random(c.seed() + s.n);
  const int64_t ld = s.n + s.pad, ldh = s.n + 3;
  std::vector<float> x = random.Normals(s.tokens * ld), weights(s.tokens);
  for (int64_t t = 0; t < s.tokens; ++t) {
    weights[t] = static_cast<float>(random.Uniform());
    for (int64_t i = 3; i < s.n; i += 11) x[t * ld + i] *= 30;  // loud channels, as activations have
    for (int64_t i = 5; i < s.n; i += 13) x[t * ld + i] = std::fabs(x[t * ld + i]) * 1e-6f;
  }
  if (s.tokens > 2) weights[1] = 0;
  std::vector<double> h(s.n * ldh);
  for (double& v : h) v = random.Normal();
  DeviceArray<float> device_x("x", x), device_weights("weights", weights);
  DeviceArray<float> workspace("workspace", cuda::HessianWorkspace(s.tokens, s.n));
  DeviceArray<double> device_h("h", h), again("h again", h);
  for (DeviceArray<double>* to : {&device_h, &again}) {
    c.Expect(cuda::AddHessian(device_x.data(), ld, weighted ? device_weights.data() : nullptr, to->data(), ldh,
                              workspace.data(), s.tokens, s.n, nullptr) == 0,
             "launch");
  }
  const std::vector<double> got = device_h.Download();
  c.Expect(std::memcmp(got.data(), again.Download().data(), got.size() * sizeof(double)) == 0,
           "a second run gives other bits");
  double error = 0, norm = 0;
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t j = 0; j < ldh; ++j) {
      if (j > i) {
        c.Expect(got[i * ldh + j] == h[i * ldh + j], "wrote above the diagonal: ", i, ", ", j);
        continue;
      }
      double sum = 0, magnitudes = 0;
      for (int64_t t = 0; t < s.tokens; ++t) {
        const float factor = std::sqrt(weights[t]);
        const float a = weighted ? factor * x[t * ld + i] : x[t * ld + i];
        const float b = weighted ? factor * x[t * ld + j] : x[t * ld + j];
        sum += double{a} * b;
        magnitudes += std::fabs(double{a} * b);
      }
      const double added = got[i * ldh + j] - h[i * ldh + j];
      c.Near(added, sum, kBound * magnitudes + 0x1p-52 * std::fabs(got[i * ldh + j]), "h", i * s.n + j);
      error += (added - sum) * (added - sum);
      norm += sum * sum;
    }
  }
  c.Expect(std::sqrt(error) <= kDistance * std::sqrt(norm) + 1e-14, "distance ", std::sqrt(error / norm));

  c.Expect(cuda::MirrorLower(device_h.data(), ldh, s.n, nullptr) == 0, "launch");
  const std::vector<double> whole = device_h.Download();
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t j = 0; j < ldh; ++j) {
      const double want = j < s.n && j > i ? got[j * ldh + i] : got[i * ldh + j];
      c.Expect(whole[i * ldh + j] == want, "mirror: ", i, ", ", j);
    }
  }
}

EAQ_CHECK_CASE(Hessian) {
  for (const Shape& s :
       {Shape{0, 5, 0}, Shape{1, 1, 0}, Shape{33, 5, 1}, Shape{70, 130, 0}, Shape{200, 132, 4}, Shape{1061, 64, 0}})
    CheckShape(c, s, false);
}
EAQ_CHECK_CASE(HessianWeighted) {
  for (const Shape& s : {Shape{40, 260, 0}, Shape{65, 31, 2}}) CheckShape(c, s, true);
}

}  // namespace
}  // namespace eaq::kernels::selftest

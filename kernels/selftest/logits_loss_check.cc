// kernels/cuda/logits_loss.h against kernels/reference in double precision.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/cuda/logits_loss.h"
#include "kernels/reference/reference.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kWidths[] = {1, 3, 64, 255, 1024, 5000, 32003};

// Against exact sums: n additions and an exponential of relative error 1e-15 in a sum of positive terms, then the
// rounding of a logarithm and of an addition.
double SumBound(double n, double log_sum) { return n * 0x1p-53 + 2e-15 + 0x1p-51 * std::fabs(log_sum); }

reference::Doubles Row(const std::vector<float>& x, int64_t ld, int64_t row, int64_t n) {
  return reference::Doubles(x.begin() + row * ld, x.begin() + row * ld + n);
}

EAQ_CHECK_CASE(TargetLogProbabilities) {
  Random random(c.seed());
  for (const int64_t n : kWidths) {
    const int64_t rows = 4, ld = n + (n % 4 == 0 ? 4 : 2);
    std::vector<float> logits = random.Normals(rows * ld, 8);
    for (int64_t i = 0; i < n; ++i) logits[ld + i] = static_cast<float>(i) - 20000;  // the largest grows all the time
    for (int64_t i = 0; i < n; ++i) logits[2 * ld + i] = 3.25f;                      // all equal: log n
    const std::vector<int32_t> targets = {0, static_cast<int32_t>(n - 1), static_cast<int32_t>(n / 2),
                                          static_cast<int32_t>(n)};
    DeviceArray<float> device("logits", logits);
    DeviceArray<int32_t> device_targets("targets", targets);
    DeviceArray<double> log_probabilities("log_probabilities", rows), log_sums("log_sums", rows);
    c.Expect(cuda::TargetLogProbabilities(device.data(), ld, device_targets.data(), log_probabilities.data(),
                                          log_sums.data(), rows, n, nullptr) == 0,
             "launch");
    const std::vector<double> got = log_probabilities.Download(), sums = log_sums.Download();
    for (int64_t r = 0; r < rows; ++r) {
      const double want = reference::LogSumExp(Row(logits, ld, r, n));
      c.Near(sums[r], want, SumBound(n, want), "log_sum", r);
      c.Near(got[r], targets[r] < n ? logits[r * ld + targets[r]] - want : NAN, SumBound(n, want) * 2, "log p", r);
    }
    c.Expect(cuda::TargetLogProbabilities(device.data(), ld, device_targets.data(), log_probabilities.data(), nullptr,
                                          rows, n, nullptr) == 0,
             "launch without log_sums");
    c.Same(log_probabilities.Download(), got, "log p without log_sums");
  }
}

EAQ_CHECK_CASE(TargetLogProbabilitiesBadInput) {
  const int64_t n = 300;
  std::vector<float> logits(6 * n, 1.0f);
  logits[5] = kInfinity;                                               // row 0: one +infinity
  for (int64_t i = 0; i < n; ++i) logits[n + i] = -kInfinity;          // row 1: nothing else
  logits[2 * n + 7] = NAN;                                             // row 2
  for (int64_t i = 0; i < n - 1; ++i) logits[3 * n + i] = -kInfinity;  // row 3: one finite logit, the last
  for (int64_t i = 1; i < n; ++i) logits[4 * n + i] = -kInfinity;      // row 4: ... the first
  for (int64_t i = 0; i < n; ++i) logits[5 * n + i] = i % 2 ? 3e38f : -3e38f;
  DeviceArray<float> device("logits", logits);
  DeviceArray<int32_t> targets("targets", std::vector<int32_t>(6, 0));
  DeviceArray<double> log_probabilities("log_probabilities", 6), log_sums("log_sums", 6);
  c.Expect(cuda::TargetLogProbabilities(device.data(), n, targets.data(), log_probabilities.data(), log_sums.data(), 6,
                                        n, nullptr) == 0,
           "launch");
  const std::vector<double> sums = log_sums.Download();
  c.Near(sums[0], kInfinity, 0, "one infinity");
  c.Near(sums[1], -kInfinity, 0, "all -infinity");
  c.Near(sums[2], NAN, 0, "NaN");
  c.Near(sums[3], 1, 1e-15, "one finite logit at the end");
  c.Near(sums[4], 1, 1e-15, "one finite logit at the start");
  c.Near(sums[5], double{3e38f} + std::log(150.0), 1e23, "huge logits");
  c.Expect(cuda::TargetLogProbabilities(device.data(), n - 1, targets.data(), log_probabilities.data(), nullptr, 6, n,
                                        nullptr) != 0,
           "stride");
}

EAQ_CHECK_CASE(DivergeRows) {
  Random random(c.seed());
  for (const int64_t n : kWidths) {
    const int64_t rows = 6, ldp = n + (n % 4 == 0 ? 4 : 1), ldq = n + (n % 4 == 0 ? 8 : 0);
    const std::vector<float> p = random.Normals(rows * ldp, 5), noise = random.Normals(rows * ldp);
    std::vector<float> q(rows * ldq);
    const double distances[rows] = {0, 1e-4, 0.01, 0.3, 1, 5};
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < n; ++i)
        q[r * ldq + i] = p[r * ldp + i] + static_cast<float>(distances[r]) * noise[r * ldp + i];
    DeviceArray<float> device_p("p", p), device_q("q", q);
    DeviceArray<Divergence> out("divergence", rows);
    c.Expect(cuda::DivergeRows(device_p.data(), ldp, device_q.data(), ldq, out.data(), rows, n, nullptr) == 0,
             "launch");
    const std::vector<Divergence> got = out.Download();
    for (int64_t r = 0; r < rows; ++r) {
      const reference::Doubles x = Row(p, ldp, r, n), y = Row(q, ldq, r, n);
      const Divergence want = reference::Diverge(x, y);
      double apart = 0;
      for (int64_t i = 0; i < n; ++i) apart += std::exp(x[i] - want.log_sum_p) * std::fabs(x[i] - y[i]);
      c.Near(got[r].log_sum_p, want.log_sum_p, SumBound(n, want.log_sum_p), "log_sum_p", r);
      c.Near(got[r].log_sum_q, want.log_sum_q, SumBound(n, want.log_sum_q), "log_sum_q", r);
      // The header's bound, and the reference's own rounding: as much again.
      const double bound =
          2 * ((n * 0x1p-52 + 4e-15) * (1 + apart) + 0x1p-51 * (std::fabs(want.log_sum_p) + std::fabs(want.log_sum_q)));
      c.Near(got[r].kl, want.kl, bound, "kl", r);
      c.Expect(got[r].kl >= 0, "kl below 0");
      c.Expect(got[r].agree == want.agree, "agree, row ", r, " of n = ", n);
    }
  }
}

// The first of equal logits counts, wherever threads and warps have them.
EAQ_CHECK_CASE(DivergeRowsTies) {
  const int64_t n = 3000;
  const int64_t places[][2] = {{5, 2999}, {1023, 1024}, {0, 4}, {130, 131}};
  std::vector<float> p(8 * n, 0.0f), q(8 * n, 0.0f);
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t r : {2 * t, 2 * t + 1}) {
      p[r * n + places[t][0]] = p[r * n + places[t][1]] = 1;
      q[r * n + places[t][0]] = r % 2 == 0 ? 1 : 0.5f;  // odd rows: q has the second of them alone
      q[r * n + places[t][1]] = 1;
    }
  }
  DeviceArray<float> device_p("p", p), device_q("q", q);
  DeviceArray<Divergence> out("divergence", 8);
  c.Expect(cuda::DivergeRows(device_p.data(), n, device_q.data(), n, out.data(), 8, n, nullptr) == 0, "launch");
  const std::vector<Divergence> got = out.Download();
  for (int r = 0; r < 8; ++r) c.Expect(got[r].agree == (r % 2 == 0), "agree, row ", r);
}

}  // namespace
}  // namespace eaq::kernels::selftest

// kernels/cuda/top_k_agreement.h against sorted rows.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cuda/top_k_agreement.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

// The places of the K largest: by value, then by index; NaN last.
std::vector<int64_t> Top(const float* row, int64_t n, int k) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [row](int64_t a, int64_t b) {
    if (std::isnan(row[a]) || std::isnan(row[b])) return !std::isnan(row[a]) && std::isnan(row[b]);
    return row[a] > row[b];
  });
  order.resize(k);
  return order;
}

void Compare(const std::vector<float>& p, int64_t ldp, const std::vector<float>& q, int64_t ldq, int64_t rows,
             int64_t n, int k, Checker& c) {
  DeviceArray<float> device_p("p", p), device_q("q", q);
  DeviceArray<int32_t> common("common", rows);
  c.Expect(cuda::TopKAgreement(device_p.data(), ldp, device_q.data(), ldq, k, common.data(), rows, n, nullptr) == 0,
           "launch");
  const std::vector<int32_t> got = common.Download();
  for (int64_t r = 0; r < rows; ++r) {
    const std::vector<int64_t> of_p = Top(p.data() + r * ldp, n, k), of_q = Top(q.data() + r * ldq, n, k);
    int32_t want = 0;
    for (const int64_t i : of_p) want += std::count(of_q.begin(), of_q.end(), i) > 0 ? 1 : 0;
    c.Expect(got[r] == want, "row ", r, ", n ", n, ", k ", k, ": ", got[r], " in common, expected ", want);
  }
}

EAQ_CHECK_CASE(TopKAgreement) {
  Random random(c.seed());
  for (const int64_t n : {1, 5, 64, 255, 1024, 3001}) {
    if (c.small() && n > 255) break;
    const int64_t rows = 4, ldp = n + 3, ldq = n;
    const std::vector<float> p = random.Normals(rows * ldp), noise = random.Normals(rows * ldp);
    std::vector<float> q(rows * ldq);
    const double apart[] = {0, 0.05, 0.5, 5};
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        q[r * ldq + i] = p[r * ldp + i] + static_cast<float>(apart[r]) * noise[r * ldp + i];
      }
    }
    for (const int k : {1, 2, 5, 10, 32}) {
      if (k <= n) Compare(p, ldp, q, ldq, rows, n, k, c);
    }
  }
}

// Ties, both zeros, infinities, NaN and rows of nothing else.
EAQ_CHECK_CASE(TopKAgreementOddRows) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const int64_t n = 600, rows = 6;
  Random random(c.seed());
  std::vector<float> p = random.Normals(rows * n), q = random.Normals(rows * n);
  for (int64_t i = 0; i < n; ++i) {
    p[i] = 1, q[i] = i < 3 ? 0.5f : 1.0f;                                    // ties: the first ones
    p[n + i] = i % 2 ? 0.0f : -0.0f, q[n + i] = i % 2 ? -0.0f : 0.0f;        // equal zeros
    p[2 * n + i] = NAN, q[2 * n + i] = i == 500 ? -kInfinity : NAN;          // NaN below -infinity
    p[3 * n + i] = i % 7 ? p[3 * n + i] : NAN;                               // some NaN
    q[3 * n + i] = p[3 * n + i] + 0.1f * q[3 * n + i];                       // the same places
    p[4 * n + i] = -kInfinity, q[4 * n + i] = i > 590 ? kInfinity : -3e38f;  // infinities of both signs
    p[5 * n + i] = static_cast<float>(i / 3), q[5 * n + i] = static_cast<float>(i / 2);
  }
  for (const int k : {1, 3, 17, 32}) {
    if (c.small() && k > 3) break;
    Compare(p, n, q, n, rows, n, k, c);
  }
}

EAQ_CHECK_CASE(TopKAgreementLimits) {
  DeviceArray<float> x("x", std::vector<float>(64, 1));
  DeviceArray<int32_t> common("common", 1);
  const auto launch = [&](int64_t ld, int k, int64_t rows, int64_t n) {
    return cuda::TopKAgreement(x.data(), ld, x.data(), 64, k, common.data(), rows, n, nullptr);
  };
  c.Expect(launch(64, 33, 1, 64) != 0, "k above 32");
  c.Expect(launch(64, 0, 1, 64) != 0, "k of 0");
  c.Expect(launch(64, 5, 1, 4) != 0, "k above n");
  c.Expect(launch(63, 5, 1, 64) != 0, "stride below n");
  c.Expect(launch(64, 5, -1, 64) != 0, "negative rows");
  c.Expect(launch(64, 5, 0, 64) == 0, "no rows");
}

}  // namespace
}  // namespace eaq::kernels::selftest

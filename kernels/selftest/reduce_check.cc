// kernels/cuda/reduce.h: exact.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/cuda/reduce.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

struct Shape {
  int64_t rows, n, pad;
};
constexpr Shape kShapes[] = {
    {1, 1, 0},   {3, 7, 2},     {0, 5, 0},    {513, 33, 0}, {40, 128, 4},
    {8, 260, 0}, {1100, 36, 4}, {2, 1030, 0}, {5, 64, 1}};  // whole vectors in a row, but rows that begin anywhere

void Widen(float x, float* low, float* high) {
  if (x < *low) *low = x;
  if (x > *high) *high = x;
}

EAQ_CHECK_CASE(ColumnRanges) {
  Random random(c.seed());
  for (const Shape& s : kShapes) {
    const int64_t ld = s.n + s.pad;
    std::vector<float> low(s.n, 0.0f), high(s.n, 0.0f);
    DeviceArray<float> device_low("low", s.n), device_high("high", s.n);
    DeviceArray<float> workspace("workspace", cuda::ColumnRangesWorkspace(s.rows, s.n));
    for (int batch = 0; batch < 3; ++batch) {  // the first does not accumulate: the outputs are poison
      std::vector<float> x = random.Normals(s.rows * ld, batch == 1 ? 0.1 : 1);
      for (int64_t i = 0; i < s.rows; ++i) x[i * ld] = std::fabs(x[i * ld]);  // a column above 0
      if (s.rows > 2) x[2 * ld + s.n - 1] = NAN, x[ld + s.n / 2] = -std::numeric_limits<float>::infinity();
      for (int64_t r = 0; r < s.rows; ++r)
        for (int64_t i = 0; i < s.n; ++i) Widen(x[r * ld + i], &low[i], &high[i]);
      DeviceArray<float> device("x", x);
      c.Expect(cuda::ColumnRanges(device.data(), ld, device_low.data(), device_high.data(), batch > 0, workspace.data(),
                                  s.rows, s.n, nullptr) == 0,
               "launch");
    }
    c.Same(device_low.Download(), low, "low");
    c.Same(device_high.Download(), high, "high");
  }
}

EAQ_CHECK_CASE(RowRanges) {
  Random random(c.seed());
  for (const Shape& s : kShapes) {
    const int64_t ld = s.n + s.pad;
    std::vector<float> x = random.Normals(s.rows * ld), low(s.rows, 0.0f), high(s.rows, 0.0f);
    if (s.rows > 2) x[2 * ld] = NAN, x[ld + s.n - 1] = std::numeric_limits<float>::infinity();
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t i = 0; i < s.n; ++i) Widen(x[r * ld + i], &low[r], &high[r]);
    DeviceArray<float> device("x", x), device_low("low", s.rows), device_high("high", s.rows);
    c.Expect(cuda::RowRanges(device.data(), ld, device_low.data(), device_high.data(), s.rows, s.n, nullptr) == 0,
             "launch");
    c.Same(device_low.Download(), low, "low");
    c.Same(device_high.Download(), high, "high");
  }
  c.Expect(cuda::RowRanges(nullptr, 3, nullptr, nullptr, 1, 4, nullptr) != 0, "stride");
}

}  // namespace
}  // namespace eaq::kernels::selftest

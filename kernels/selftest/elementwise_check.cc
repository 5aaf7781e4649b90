// kernels/cuda/rotary.h, embed.h and silu_mul.h: the bits of the CPU backend's formulas, and their values in double
// precision.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "kernels/cuda/embed.h"
#include "kernels/cuda/rotary.h"
#include "kernels/cuda/silu_mul.h"
#include "kernels/reference/reference.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

constexpr double kEps = 0x1p-24;

std::vector<uint16_t> Bits(const std::vector<cuda::Bf16>& values) {
  std::vector<uint16_t> bits;
  for (const cuda::Bf16 v : values) bits.push_back(v.bits);
  return bits;
}
std::vector<uint16_t> RoundedBits(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (const float v : values) bits.push_back(cuda::ToBf16(v).bits);
  return bits;
}

EAQ_CHECK_CASE(Rotary) {
  Random random(c.seed());
  struct Shape {
    int64_t rows, heads, dim, pad;
  };
  for (const Shape& s : {Shape{1, 1, 2, 0}, Shape{5, 3, 14, 3}, Shape{7, 4, 64, 0}, Shape{3, 16, 128, 8}}) {
    const int64_t n = s.heads * s.dim, ld = n + s.pad, half = s.dim / 2;
    const std::vector<float> x = random.Normals(s.rows * ld);
    std::vector<float> cosines(s.rows * half), sines(s.rows * half);
    for (size_t i = 0; i < cosines.size(); ++i) {
      const double angle = 6.3 * random.Uniform();
      cosines[i] = static_cast<float>(std::cos(angle));
      sines[i] = static_cast<float>(std::sin(angle));
    }
    DeviceArray<float> device_x("x", x), device_c("cosines", cosines), device_s("sines", sines);
    DeviceArray<cuda::Bf16> device_y("y", s.rows * n);
    c.Expect(cuda::RotaryHalfSplit(device_x.data(), ld, device_c.data(), device_s.data(), device_y.data(), n, s.rows,
                                   s.heads, s.dim, nullptr) == 0,
             "launch to bf16");
    c.Expect(cuda::RotaryHalfSplit(device_x.data(), ld, device_c.data(), device_s.data(), device_x.data(), ld, s.rows,
                                   s.heads, s.dim, nullptr) == 0,
             "launch in place");
    const std::vector<float> got = device_x.Download();
    // The CPU backend's formula (elementwise.cc), float by float.
    std::vector<float> want = x, packed;
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t h = 0; h < s.heads; ++h) {
        for (int64_t i = 0; i < half; ++i) {
          const int64_t low = r * ld + h * s.dim + i, high = low + half, angle = r * half + i;
          want[low] = x[low] * cosines[angle] - x[high] * sines[angle];
          want[high] = x[high] * cosines[angle] + x[low] * sines[angle];
        }
      }
      packed.insert(packed.end(), want.begin() + r * ld, want.begin() + r * ld + n);
    }
    c.Same(got, want, "rotary");
    c.Same(Bits(device_y.Download()), RoundedBits(packed), "rotary to bf16");
    // ... and that formula against double precision: three roundings of numbers no larger than |x_low| + |x_high|.
    reference::Doubles inputs;
    for (int64_t r = 0; r < s.rows; ++r) inputs.insert(inputs.end(), x.begin() + r * ld, x.begin() + r * ld + n);
    const reference::Doubles exact = reference::RotaryHalfSplit(inputs, {cosines.begin(), cosines.end()},
                                                                {sines.begin(), sines.end()}, s.rows, s.heads, s.dim);
    for (int64_t i = 0; i < s.rows * n; ++i) {
      const int64_t partner = i % s.dim < half ? i + half : i - half;
      c.Near(got[i / n * ld + i % n], exact[i], 3 * kEps * (std::fabs(inputs[i]) + std::fabs(inputs[partner])), "y", i);
    }
  }
  c.Expect(cuda::RotaryHalfSplit(nullptr, 3, nullptr, nullptr, static_cast<float*>(nullptr), 3, 1, 1, 3, nullptr) != 0,
           "an odd head_dim must be refused");
}

EAQ_CHECK_CASE(Embed) {
  Random random(c.seed());
  constexpr int64_t kVocabulary = 11;
  for (const int64_t n : {1, 6, 128, 1000}) {
    const int64_t rows = 9, ldt = n + (n % 4 == 0 ? 4 : 1), ldy = n + 4;
    const std::vector<float> table = random.Normals(kVocabulary * ldt);
    std::vector<cuda::Bf16> narrow;
    for (const float v : table) narrow.push_back(cuda::ToBf16(v));
    std::vector<int32_t> ids = random.Integers<int32_t>(rows, 0, kVocabulary - 1);
    ids[0] = kVocabulary - 1, ids[3] = -1, ids[7] = kVocabulary;
    DeviceArray<float> device_table("table", table), y("y", rows * ldy);
    DeviceArray<cuda::Bf16> device_narrow("narrow table", narrow);
    DeviceArray<int32_t> device_ids("ids", ids);
    for (const bool bf16 : {false, true}) {
      y.Poison();
      const int error =
          bf16 ? cuda::Embed(device_narrow.data(), ldt, kVocabulary, device_ids.data(), y.data(), ldy, rows, n, nullptr)
               : cuda::Embed(device_table.data(), ldt, kVocabulary, device_ids.data(), y.data(), ldy, rows, n, nullptr);
      c.Expect(error == 0, "launch: error ", error);
      const std::vector<float> got = y.Download();
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < n; ++i) {
          const bool inside = ids[r] >= 0 && ids[r] < kVocabulary;
          const double want = !inside ? NAN : bf16 ? cuda::ToFloat(narrow[ids[r] * ldt + i]) : table[ids[r] * ldt + i];
          c.Near(got[r * ldy + i], want, 0, "embedding", r * n + i);
        }
      }
    }
  }
}

EAQ_CHECK_CASE(SiluMul) {
  Random random(c.seed());
  for (const int64_t n : {1, 7, 64, 1000}) {
    const int64_t rows = 3, ld = 2 * n;  // gate and up side by side
    std::vector<float> x = random.Normals(rows * ld, 20);
    x[0] = -100, x[ld] = 100;
    DeviceArray<float> device("gate and up", x), out("out", rows * n);
    DeviceArray<cuda::Bf16> narrow("bf16 out", rows * n);
    c.Expect(cuda::SiluMul(device.data(), ld, device.data() + n, ld, out.data(), n, rows, n, nullptr) == 0, "launch");
    c.Expect(cuda::SiluMul(device.data(), ld, device.data() + n, ld, narrow.data(), n, rows, n, nullptr) == 0,
             "launch to bf16");
    c.Expect(cuda::SiluMul(device.data(), ld, device.data() + n, ld, device.data(), ld, rows, n, nullptr) == 0,
             "launch in place");
    const std::vector<float> got = out.Download(), in_place = device.Download();
    std::vector<float> want;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        const float g = x[r * ld + i], u = x[r * ld + n + i];
        want.push_back(FastSilu(g) * u);
        c.Expect(in_place[r * ld + i] == got[r * n + i], "in place");
        c.Expect(in_place[r * ld + n + i] == u, "up was written");
        const double exact = g / (1 + std::exp(-static_cast<double>(g))) * u;
        c.Near(got[r * n + i], exact, 6e-7 * std::fabs(exact) + 1e-30, "silu(gate) * up", r * n + i);
      }
    }
    c.Same(got, want, "silu(gate) * up as on the CPU");
    c.Same(Bits(narrow.Download()), RoundedBits(want), "bf16");
  }
}

}  // namespace
}  // namespace eaq::kernels::selftest

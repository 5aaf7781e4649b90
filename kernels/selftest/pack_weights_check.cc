// kernels/cuda/pack_weights.h: the inverse, and each fragment against the layouts of the PTX manual.
#include <utility>
#include <vector>

#include "kernels/cuda/half.h"
#include "kernels/cuda/pack_weights.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::MmaOrder;

EAQ_CHECK_CASE(PackFragmentsInverse) {
  Random random(c.seed());
  const std::pair<MmaOrder, std::vector<int>> orders[] = {
      {MmaOrder::kInt8, {4, 8}}, {MmaOrder::kInt4, {4}}, {MmaOrder::kBf16, {2, 3, 4, 6}}};
  for (const auto& [order, widths] : orders) {
    for (const int bits : widths) {
      for (const int64_t rows : {1, 16, 35}) {
        for (const int64_t cols : {1, 128, 300}) {
          const auto codes = random.Integers<uint8_t>(rows * cols, 0, (1 << bits) - 1);
          std::vector<uint8_t> packed(cuda::FragmentBytes(rows, cols, bits, order)), back(codes.size(), 0xff);
          const int64_t brick_rows = order == MmaOrder::kInt8 && bits == 4 ? 32 : 16;
          c.Expect(static_cast<int64_t>(packed.size()) ==
                       (rows + brick_rows - 1) / brick_rows * ((cols + 127) / 128) * brick_rows * 16 * bits,
                   "bytes");
          cuda::PackFragments(codes.data(), rows, cols, bits, order, packed.data());
          cuda::UnpackFragments(packed.data(), rows, cols, bits, order, back.data());
          c.Same(back, codes, "unpack(pack(codes))");
        }
      }
    }
  }
}

// Words as the kernel picks them apart, written down a second time from the manual's tables.
EAQ_CHECK_CASE(PackFragmentsAreMmaFragments) {
  Random random(c.seed());
  const auto words = [](const std::vector<uint8_t>& bytes) {
    std::vector<uint32_t> w(bytes.size() / 4);
    for (size_t i = 0; i < bytes.size(); ++i) w[i / 4] |= static_cast<uint32_t>(bytes[i]) << (i % 4 * 8);
    return w;
  };
  for (const auto& [bits, order] : {std::pair(8, MmaOrder::kInt8), {4, MmaOrder::kInt8}, {4, MmaOrder::kInt4}}) {
    const auto codes = random.Integers<uint8_t>(32 * 128, 0, (1 << bits) - 1);
    std::vector<uint8_t> packed(cuda::FragmentBytes(32, 128, bits, order));
    cuda::PackFragments(codes.data(), 32, 128, bits, order, packed.data());
    const std::vector<uint32_t> w = words(packed);
    for (int product = 0; product < 4; ++product) {
      for (int lane = 0; lane < 32; ++lane) {
        for (int reg = 0; reg < 4; ++reg) {
          for (int byte = 0; byte < 4; ++byte) {
            const int row = lane / 4 + 8 * (reg % 2), column = product * 32 + 16 * (reg / 2) + lane % 4 * 4 + byte;
            int got;
            if (bits == 8) {
              got = static_cast<int8_t>(w[(product * 32 + lane) * 4 + reg] >> (8 * byte)) + 128;
            } else if (order == MmaOrder::kInt8) {
              const uint32_t word = w[(product * 32 + lane) * 4 + reg] >> (8 * byte);
              const int below = codes[(row + 16) * 128 + column];
              c.Expect((word >> 4 & 15) == (below ^ 8), "integer order, 4 bits, row ", row + 16, " column ", column);
              got = word & 15;
            } else {
              const uint32_t word = w[(product / 2 * 32 + lane) * 4 + reg];
              got = static_cast<int>((word >> (8 * byte + 4 * (product % 2)) & 15) ^ 8);
            }
            c.Expect(got == codes[row * 128 + column], "integer order, ", bits, " bits, row ", row, " column ", column);
          }
        }
      }
    }
  }
  const auto codes = random.Integers<uint8_t>(16 * 128, 0, 7);
  std::vector<uint8_t> packed(cuda::FragmentBytes(16, 128, 3, MmaOrder::kBf16));
  cuda::PackFragments(codes.data(), 16, 128, 3, MmaOrder::kBf16, packed.data());
  const std::vector<uint32_t> w = words(packed);
  for (int product = 0; product < 8; ++product) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int reg = 0; reg < 4; ++reg) {
        for (int half = 0; half < 2; ++half) {
          const int row = lane / 4 + 8 * (reg % 2), column = product * 16 + 8 * (reg / 2) + lane % 4 * 2 + half;
          const uint32_t low = w[lane * 4 + reg] >> (16 * half + 2 * product) & 3;
          const uint32_t high = w[128 + lane * 2 + reg / 2] >> (16 * half + 8 * (reg % 2) + product) & 1;
          c.Expect((low | high << 2) == codes[row * 128 + column], "bf16 order, row ", row, " column ", column);
        }
      }
    }
  }
}

cuda::CanonicalWeights Shape(int64_t rows, int64_t cols, int64_t group) {
  cuda::CanonicalWeights w;
  w.rows = rows;
  w.cols = cols;
  w.group = group;
  return w;
}

EAQ_CHECK_CASE(PackWeightsSums) {
  Random random(c.seed());
  for (const int64_t group : {0, 128}) {
    cuda::CanonicalWeights w = Shape(5, 200, group);
    w.codes = random.Integers<uint8_t>(w.rows * w.cols, 0, 15);
    for (int64_t i = 0; i < w.rows * w.groups(); ++i) {
      w.scales.push_back(cuda::ToHalf(static_cast<float>(0.01 + random.Uniform())).bits);
      w.zeros.push_back(static_cast<uint8_t>(random.Integer(0, 15)));
    }
    const cuda::FragmentWeights packed = cuda::PackWeights(w, MmaOrder::kInt8);
    for (int64_t row = 0; row < 16; ++row) {
      double sum = 0, magnitude = 0;
      for (int64_t i = 0; row < w.rows && i < w.cols; ++i) {
        const int64_t grid = row * w.groups() + (group == 0 ? 0 : i / group);
        const double scale = group == 0 ? 1 : cuda::ToFloat(cuda::Half{w.scales[grid]});
        sum += scale * (w.codes[row * w.cols + i] - w.zeros[grid]);
        magnitude += std::abs(scale * (w.codes[row * w.cols + i] - w.zeros[grid]));
      }
      c.Near(packed.column_sums[row], sum, group == 0 ? 0 : 0x1p-23 * magnitude, "column sum", row);
      for (int64_t g = 0; g < w.groups(); ++g) {
        c.Expect(packed.scales[g * 16 + row] == (row < w.rows ? w.scales[row * w.groups() + g] : 0), "scale ", row);
        c.Expect(packed.zeros[g * 16 + row] == (row < w.rows ? w.zeros[row * w.groups() + g] : 0), "zero ", row);
      }
    }
  }
}

EAQ_CHECK_CASE(InterleaveGateUp) {
  Random random(c.seed());
  cuda::CanonicalWeights gate = Shape(11, 3, 0), up = gate;
  for (cuda::CanonicalWeights* w : {&gate, &up}) {
    w->codes = random.Integers<uint8_t>(33, 0, 15);
    w->scales = random.Integers<uint16_t>(11, 1, 30000);
    w->zeros = random.Integers<uint8_t>(11, 0, 15);
  }
  const cuda::CanonicalWeights both = cuda::InterleaveGateUp(gate, up);
  c.Expect(both.rows == 32 && both.cols == 3 && both.bits == 4, "shape");
  for (int64_t row = 0; row < 32; ++row) {
    const int64_t from = row / 16 * 8 + row % 8;
    const cuda::CanonicalWeights& source = row % 16 < 8 ? gate : up;
    const bool exists = from < 11;
    c.Expect(both.scales[row] == (exists ? source.scales[from] : 0), "scale of row ", row);
    c.Expect(both.zeros[row] == (exists ? source.zeros[from] : 0), "zero of row ", row);
    for (int64_t i = 0; i < 3; ++i)
      c.Expect(both.codes[row * 3 + i] == (exists ? source.codes[from * 3 + i] : 0), "code of row ", row);
  }
}

}  // namespace
}  // namespace eaq::kernels::selftest

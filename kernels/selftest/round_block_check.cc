// kernels/cuda/round_block.h against GPTQ as a textbook has it: column by column, every error fed at once to all
// columns after it, in float64.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/cuda/round_block.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::WeightGrid;

struct Shape {
  int64_t rows, cols, block, group;  // group 0: one grid a row; -1: one for everything
  int bits;
  bool act_order;
};

void CheckShape(Checker& c, const Shape& s) {
  Random random(c.seed() + s.cols);
  const int64_t ldw = s.cols + 3, ldu = s.cols + 1, groups = s.group > 0 ? (s.cols + s.group - 1) / s.group : 1;
  std::vector<double> w(s.rows * ldw), u(s.cols * ldu, NAN);
  for (double& v : w) v = static_cast<float>(random.Normal());
  for (int64_t i = 0; i < s.cols; ++i) {
    u[i * ldu + i] = 0.5 + random.Uniform();
    for (int64_t j = i + 1; j < s.cols; ++j) u[i * ldu + j] = 0.1 * random.Normal();
  }
  std::vector<int32_t> column_of(s.cols), group_of(s.cols);
  std::iota(column_of.begin(), column_of.end(), 0);
  if (s.act_order)
    for (int64_t i = s.cols - 1; i > 0; --i) std::swap(column_of[i], column_of[random.Integer(0, i)]);
  for (int64_t i = 0; i < s.cols; ++i) group_of[i] = s.group > 0 ? static_cast<int32_t>(column_of[i] / s.group) : 0;
  const int max_code = (1 << s.bits) - 1;
  std::vector<WeightGrid> grids(s.group < 0 ? 1 : s.rows * groups);
  for (WeightGrid& g : grids) {
    g.scale = static_cast<float>((1 + random.Uniform()) * 5 / max_code) * (random.Integer(0, 3) == 0 ? -1 : 1);
    g.zero = static_cast<int32_t>(random.Integer(0, max_code));
  }

  DeviceArray<double> work("work", w), device_u("u", u), errors("errors", s.rows * cuda::kMaxRoundBlock);
  DeviceArray<WeightGrid> device_grids("grids", grids);
  DeviceArray<int32_t> device_columns("column_of", column_of), device_groups("group_of", group_of);
  DeviceArray<uint8_t> device_codes("codes", s.rows * s.cols);
  cuda::RoundProblem p;
  p.work = work.data(), p.ldw = ldw, p.rows = s.rows, p.cols = s.cols;
  p.u = device_u.data(), p.ldu = ldu;
  p.grids = device_grids.data(), p.grid_stride = s.group < 0 ? 0 : groups;
  p.group_of = s.group > 0 ? device_groups.data() : nullptr;
  p.column_of = s.act_order ? device_columns.data() : nullptr;
  p.bits = s.bits, p.codes = device_codes.data(), p.errors = errors.data();
  for (int64_t begin = 0; begin < s.cols; begin += s.block) {
    const int64_t end = std::min(begin + s.block, s.cols);
    c.Expect(cuda::RoundBlock(p, begin, end, nullptr) == 0, "launch");
    c.Expect(cuda::UpdateRest(p, begin, end, nullptr) == 0, "launch");
  }
  const std::vector<uint8_t> codes = device_codes.Download();
  const std::vector<double> after = work.Download();

  int64_t ties = 0;
  for (int64_t r = 0; r < s.rows; ++r) {
    std::vector<double> row(w.begin() + r * ldw, w.begin() + r * ldw + s.cols);
    for (int64_t i = 0; i < s.cols; ++i) {
      const WeightGrid g = grids[r * p.grid_stride + group_of[i]];
      const float steps = static_cast<float>(row[i]) / g.scale;
      const int code = static_cast<int>(
          std::clamp(std::nearbyint(steps) + static_cast<float>(g.zero), 0.0f, static_cast<float>(max_code)));
      const int got = codes[r * s.cols + column_of[i]];
      // Sums of at most `cols` terms in another order.
      c.Near(after[r * ldw + i], row[i], 1e-12 * (1 + std::fabs(row[i])), "w when it was rounded", r * s.cols + i);
      if (got != code) {
        const double tie = std::fabs(steps - std::floor(steps) - 0.5);
        c.Expect(tie <= 2 * 0x1p-23 * std::fabs(steps), "code[", r, ", ", i, "] is ", got, ", expected ", code,
                 ", and it is no tie: ", steps);
        ++ties;
        break;  // the rest of the row is another problem
      }
      const double error = (row[i] - g.scale * static_cast<float>(code - g.zero)) / u[i * ldu + i];
      for (int64_t j = i + 1; j < s.cols; ++j) row[j] -= error * u[i * ldu + j];
    }
    for (int64_t i = s.cols; i < ldw; ++i) c.Expect(after[r * ldw + i] == w[r * ldw + i], "wrote beyond the row");
  }
  // A float32 within 2 ulps of one of 2^bits ties: some 1e-6 of all. Here there are fewer than 1e5 codes.
  c.Expect(ties <= 2, ties, " rows differ at a tie");
}

EAQ_CHECK_CASE(RoundBlock) {
  for (const Shape& s :
       {Shape{1, 1, 128, 0, 4, false}, Shape{9, 33, 33, -1, 2, false}, Shape{5, 128, 128, 32, 4, false},
        Shape{17, 200, 64, 64, 3, true}, Shape{70, 150, 128, 0, 8, true}})
    CheckShape(c, s);
}

EAQ_CHECK_CASE(RoundBlockLimits) {
  cuda::RoundProblem p;
  p.rows = 1, p.cols = p.ldw = p.ldu = 300;
  c.Expect(cuda::RoundBlock(p, 0, 129, nullptr) != 0, "a block of 129");
  c.Expect(cuda::RoundBlock(p, 200, 301, nullptr) != 0, "beyond the end");
  c.Expect(cuda::UpdateRest(p, 172, 300, nullptr) == 0, "nothing left to update");
  p.rows = 0;
  c.Expect(cuda::RoundBlock(p, 0, 128, nullptr) == 0, "no rows");
}

}  // namespace
}  // namespace eaq::kernels::selftest

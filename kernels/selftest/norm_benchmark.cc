// The memory-bound kernels round the matrices: norms, rotary embedding, embedding, SwiGLU gate, ranges, losses.
#include <cstdint>
#include <vector>

#include "kernels/cuda/embed.h"
#include "kernels/cuda/logits_loss.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/rotary.h"
#include "kernels/cuda/silu_mul.h"
#include "kernels/selftest/benchmark.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

// COUNT normal numbers; a million of them, repeated.
std::vector<float> Numbers(int64_t count, double scale = 1) {
  const std::vector<float> some = Random(1).Normals(1 << 20, scale);
  std::vector<float> all(count);
  for (int64_t i = 0; i < count; ++i) all[i] = some[i & ((1 << 20) - 1)];
  return all;
}

EAQ_BENCHMARK(Norm) {
  constexpr int64_t rows = 16384, n = 4096;
  DeviceArray<float> x("x", Numbers(rows * n)), delta("delta", Numbers(rows * n, 1e-3)), weight("weight", Numbers(n));
  DeviceArray<float> y("y", rows * n);
  DeviceArray<cuda::Bf16> narrow("bf16 y", rows * n);
  double seconds = b.Time([&](int) { cuda::RmsNorm(x.data(), n, weight.data(), 1e-5, y.data(), n, rows, n, nullptr); });
  b.Report("RMSNorm [16384, 4096] float", seconds, 8.0 * rows * n, 0, Rate::kNone);
  seconds = b.Time([&](int) {
    cuda::AddRmsNorm(x.data(), n, delta.data(), n, weight.data(), 1e-5, narrow.data(), n, rows, n, nullptr);
  });
  b.Report("x += delta, RMSNorm [16384, 4096] to bf16", seconds, 14.0 * rows * n, 0, Rate::kNone);
  constexpr int64_t small = 128, heads = rows * n / small;
  seconds =
      b.Time([&](int) { cuda::RmsNorm(x.data(), small, weight.data(), 1e-5, y.data(), small, heads, small, nullptr); });
  b.Report("RMSNorm [524288, 128] float", seconds, 8.0 * rows * n, 0, Rate::kNone);
  DeviceArray<float> cosines("cosines", Numbers(rows * 64)), sines("sines", Numbers(rows * 64));
  seconds = b.Time([&](int) {
    cuda::RotaryHalfSplit(x.data(), n, cosines.data(), sines.data(), narrow.data(), n, rows, n / 128, 128, nullptr);
  });
  b.Report("rotary [16384, 32 x 128] to bf16", seconds, 6.0 * rows * n + 8.0 * rows * 64, 0, Rate::kNone);
  seconds =
      b.Time([&](int) { cuda::SiluMul(x.data(), n, x.data() + n / 2, n, y.data(), n / 2, rows, n / 2, nullptr); });
  b.Report("silu(gate) * up [16384, 2048] float", seconds, 6.0 * rows * n, 0, Rate::kNone);
  DeviceArray<int32_t> ids("ids", Random(2).Integers<int32_t>(rows, 0, rows - 1));
  seconds = b.Time([&](int) { cuda::Embed(x.data(), n, rows, ids.data(), y.data(), n, rows, n, nullptr); });
  b.Report("embedding [16384, 4096] float", seconds, 8.0 * rows * n, 0, Rate::kNone);
}

EAQ_BENCHMARK(Ranges) {
  constexpr int64_t rows = 16384, n = 4096;
  DeviceArray<float> x("x", Numbers(rows * n)), low("low", rows), high("high", rows);
  DeviceArray<float> workspace("workspace", cuda::ColumnRangesWorkspace(rows, n));
  double seconds = b.Time([&](int) {
    cuda::ColumnRanges(x.data(), n, low.data(), high.data(), false, workspace.data(), rows, n, nullptr);
  });
  b.Report("columns of [16384, 4096]", seconds, 4.0 * rows * n, 0, Rate::kNone);
  seconds = b.Time([&](int) { cuda::RowRanges(x.data(), n, low.data(), high.data(), rows, n, nullptr); });
  b.Report("rows of [16384, 4096]", seconds, 4.0 * rows * n, 0, Rate::kNone);
}

EAQ_BENCHMARK(Loss) {
  constexpr int64_t rows = 2048, n = 50304;
  DeviceArray<float> p("p", Numbers(rows * n, 5)), q("q", Numbers(rows * n, 4));
  DeviceArray<int32_t> targets("targets", Random(2).Integers<int32_t>(rows, 0, n - 1));
  DeviceArray<double> log_probabilities("log p", rows);
  DeviceArray<Divergence> divergence("divergence", rows);
  double seconds = b.Time([&](int) {
    cuda::TargetLogProbabilities(p.data(), n, targets.data(), log_probabilities.data(), nullptr, rows, n, nullptr);
  });
  b.Report("log p of targets [2048, 50304]", seconds, 4.0 * rows * n, 0, Rate::kNone);
  seconds = b.Time([&](int) { cuda::DivergeRows(p.data(), n, q.data(), n, divergence.data(), rows, n, nullptr); });
  b.Report("KL and agreement [2048, 50304] x 2", seconds, 8.0 * rows * n, 0, Rate::kNone);
}

}  // namespace
}  // namespace eaq::kernels::selftest

// Quantization of weights: second moments against cuBLAS, clip search, GPTQ.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/hessian.h"
#include "kernels/cuda/round_block.h"
#include "kernels/cuda/weight_quant.h"
#include "kernels/selftest/benchmark.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

#if defined(EAQ_SELFTEST_CUBLAS)
#include <cublas_v2.h>
#endif

namespace eaq::kernels::selftest {
namespace {

using cuda::Bf16;

#if defined(EAQ_SELFTEST_CUBLAS)
// C[n, n] += X^T X for X[tokens, n] of a type, which is A A^T for cuBLAS's column-major A[n, tokens].
struct Cublas {
  Cublas() { cublasCreate(&handle); }
  ~Cublas() { cublasDestroy(handle); }
  int Square(const void* x, cudaDataType_t type, void* c, cudaDataType_t type_of_c, cublasComputeType_t compute,
             int64_t tokens, int64_t n) {
    const float one = 1, zero = 0;
    const double one64 = 1, zero64 = 0;
    const bool f64 = compute == CUBLAS_COMPUTE_64F;
    return cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_T, static_cast<int>(n), static_cast<int>(n),
                        static_cast<int>(tokens), f64 ? static_cast<const void*>(&one64) : &one, x, type,
                        static_cast<int>(n), x, type, static_cast<int>(n),
                        f64 ? static_cast<const void*>(&zero64) : &zero, c, type_of_c, static_cast<int>(n), compute,
                        CUBLAS_GEMM_DEFAULT);
  }
  cublasHandle_t handle;
};

// Of the lower triangle, as a share of its norm.
template <typename T>
std::string Distance(const std::vector<T>& got, const std::vector<double>& want, int64_t n) {
  double error = 0, norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      const double d = static_cast<double>(got[i * n + j]) - want[i * n + j];
      error += d * d;
      norm += want[i * n + j] * want[i * n + j];
    }
  }
  char text[64];
  snprintf(text, sizeof text, ", off by %.1e", std::sqrt(error / norm));
  return text;
}
#endif

// Operations are those of the whole product, 2 tokens n^2, for both.
void CompareHessian(Benchmark& b, int64_t tokens, int64_t n) {
  const std::string shape = "[" + std::to_string(tokens) + ", " + std::to_string(n) + "]";
  const double operations = 2.0 * tokens * n * n;
  const std::vector<float> x = Random(1).Normals(tokens * n);
  DeviceArray<float> device("x", x), workspace("workspace", cuda::HessianWorkspace(tokens, n));
  DeviceArray<double> h("h", std::vector<double>(n * n, 0.0));
  std::string off;
#if defined(EAQ_SELFTEST_CUBLAS)
  Cublas cublas;
  std::vector<double> want;
  {
    DeviceArray<double> wide("x in float64", std::vector<double>(x.begin(), x.end())), exact("exact", n * n);
    cublas.Square(wide.data(), CUDA_R_64F, exact.data(), CUDA_R_64F, CUBLAS_COMPUTE_64F, tokens, n);
    want = exact.Download();
  }
  cuda::AddHessian(device.data(), n, nullptr, h.data(), n, workspace.data(), tokens, n, nullptr);
  off = Distance(h.Download(), want, n);
#endif
  double seconds = b.Time(
      [&](int) { cuda::AddHessian(device.data(), n, nullptr, h.data(), n, workspace.data(), tokens, n, nullptr); });
  b.Report("own, 6 bf16 products " + shape + off, seconds, 0, operations, Rate::kBf16);
#if defined(EAQ_SELFTEST_CUBLAS)
  std::vector<Bf16> narrow(x.size());
  for (size_t i = 0; i < x.size(); ++i) narrow[i] = cuda::ToBf16(x[i]);
  DeviceArray<Bf16> device_narrow("bf16 x", narrow);
  DeviceArray<float> c("c", n * n);
  const auto peer = [&](const char* name, const void* data, cudaDataType_t type, cublasComputeType_t compute) {
    cublas.Square(data, type, c.data(), CUDA_R_32F, compute, tokens, n);
    const std::string distance = Distance(c.Download(), want, n);
    seconds = b.Time([&](int) { cublas.Square(data, type, c.data(), CUDA_R_32F, compute, tokens, n); });
    b.Report(name + shape + distance, seconds, 0, operations, Rate::kBf16);
  };
  peer("cuBLAS bf16 ", device_narrow.data(), CUDA_R_16BF, CUBLAS_COMPUTE_32F);
  peer("cuBLAS tf32 ", device.data(), CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32);
  peer("cuBLAS float ", device.data(), CUDA_R_32F, CUBLAS_COMPUTE_32F);
#endif
}

EAQ_BENCHMARK(Hessian) {
  CompareHessian(b, 4096, 2048);
  CompareHessian(b, 4096, 4096);
}

EAQ_BENCHMARK(WeightQuant) {
  constexpr int64_t rows = 2048, cols = 2048, group = 128;
  DeviceArray<float> w("w", Random(1).Normals(rows * cols, 0.05)), rounded("rounded", rows * cols);
  DeviceArray<cuda::WeightGrid> grids("grids", rows * cols / group);
  cuda::GridSearch search;
  double seconds = b.Time([&](int) {
    cuda::FindWeightGrids(w.data(), cols, rows, cols, group, cuda::WeightGridKind::kAsymmetric, 4, search, grids.data(),
                          nullptr);
  });
  b.Report("min-max grids [2048, 2048] g128", seconds, 4.0 * rows * cols, 0, Rate::kNone);
  search.way = cuda::GridSearch::Way::kClip;
  for (const bool whole : {false, true}) {
    seconds = b.Time([&](int) {
      cuda::FindWeightGrids(w.data(), cols, rows, cols, whole ? cols : group, cuda::WeightGridKind::kAsymmetric, 4,
                            search, grids.data(), nullptr);
    });
    b.Report(std::string("clip search, 80 ratios, [2048, 2048] ") + (whole ? "rows" : "g128"), seconds, 0, 0,
             Rate::kNone);
  }
  seconds = b.Time([&](int) {
    cuda::QuantizeWeights(w.data(), cols, rows, cols, group, 4, grids.data(), nullptr, rounded.data(), cols, nullptr);
  });
  b.Report("round to grids [2048, 2048] g128", seconds, 8.0 * rows * cols, 0, Rate::kNone);
}

EAQ_BENCHMARK(Gptq) {
  constexpr int64_t rows = 2048, cols = 2048, block = cuda::kMaxRoundBlock;
  std::vector<double> values(rows * cols), factor(cols * cols);
  Random random(1);
  for (double& v : values) v = random.Normal();
  for (int64_t i = 0; i < cols; ++i) {
    for (int64_t j = i; j < cols; ++j) factor[i * cols + j] = i == j ? 1 : 0.01 * random.Normal();
  }
  DeviceArray<double> work("work", values), u("u", factor), errors("errors", rows * block);
  DeviceArray<cuda::WeightGrid> grids("grids", std::vector<cuda::WeightGrid>(rows, {0.4f, 8}));
  DeviceArray<uint8_t> codes("codes", rows * cols);
  cuda::RoundProblem p;
  p.work = work.data(), p.ldw = cols, p.rows = rows, p.cols = cols, p.u = u.data(), p.ldu = cols;
  p.grids = grids.data(), p.grid_stride = 1, p.codes = codes.data(), p.errors = errors.data();
  double seconds = b.Time([&](int) { cuda::RoundBlock(p, 0, block, nullptr); });
  b.Report("round 128 columns of 2048 rows", seconds, 0, 0, Rate::kNone);
  seconds = b.Time([&](int) {
    for (int64_t begin = 0; begin < cols; begin += block) {
      cuda::RoundBlock(p, begin, begin + block, nullptr);
      cuda::UpdateRest(p, begin, begin + block, nullptr);
    }
  });
  b.Report("GPTQ [2048, 2048], all blocks", seconds, 0, 1.0 * rows * cols * cols, Rate::kNone);
}

}  // namespace
}  // namespace eaq::kernels::selftest

#include "tools/bench_gemm.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/seconds_since.h"
#include "kernels/cpu/gemm.h"

namespace eaq {
namespace {

using Product = void (*)(bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t,
                         float, float*, int64_t);

// dW[out, in] += dy[tokens, out]^T x[tokens, in], as often as takes a few milliseconds; operations per second.
double Rate(Product product, int64_t out, int64_t in, int64_t tokens, const std::vector<float>& dy,
            const std::vector<float>& x, std::vector<float>& dw) {
  const double flops = 2.0 * static_cast<double>(out * in * tokens);
  const int64_t times = std::max<int64_t>(1, static_cast<int64_t>(3e8 / flops));
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < times; ++i)
    product(true, false, out, in, tokens, 1.0f, dy.data(), out, x.data(), in, 1.0f, dw.data(), in);
  return flops * times / SecondsSince(start);
}

}  // namespace

void BenchWeightGradients(int64_t repeats, Json* out) {
  struct Shape {
    int64_t out, in, tokens;
  };
  // An expert's gate and up, q k v, and the head, of the 2.1 M and of the 8.4 M parameter configuration.
  for (const Shape& s : {Shape{128, 128, 256}, Shape{384, 128, 2048}, Shape{2048, 128, 256}, Shape{256, 256, 128},
                         Shape{768, 256, 1024}, Shape{4096, 256, 256}}) {
    const std::vector<float> dy(s.out * s.tokens, 1e-3f), x(s.in * s.tokens, 1e-3f);
    std::vector<float> dw(s.out * s.in, 0.0f);
    std::vector<double> own, library;
    for (int64_t r = 0; r <= repeats; ++r) {
      const double a = Rate(kernels::Gemm, s.out, s.in, s.tokens, dy, x, dw);
      const double b = Rate(kernels::GemmByLibrary, s.out, s.in, s.tokens, dy, x, dw);
      if (r > 0) own.push_back(a / 1e9), library.push_back(b / 1e9);  // the first pair warms up
    }
    std::sort(own.begin(), own.end());
    std::sort(library.begin(), library.end());
    const double a = own[own.size() / 2], b = library[library.size() / 2];
    (*out)["weight_gradients"][absl::StrCat("[", s.out, ", ", s.in, "] of ", s.tokens, " tokens")] = {
        {"gflops", a}, {"library_gflops", b}, {"ratio", a / b}};
  }
}

}  // namespace eaq

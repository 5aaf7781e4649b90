// The part of `eaq bench` that times our own product against the library's.
#ifndef TOOLS_BENCH_GEMM_H_
#define TOOLS_BENCH_GEMM_H_

#include <cstdint>

#include "eaq/base/json.h"

namespace eaq {

// Gradients of weights (A^T B) of the shapes that training meets, on one thread: (*out)["weight_gradients"][shape] =
// {gflops, library_gflops, ratio}, medians of REPEATS interleaved measurements.
void BenchWeightGradients(int64_t repeats, Json* out);

}  // namespace eaq

#endif  // TOOLS_BENCH_GEMM_H_

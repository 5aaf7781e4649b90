#include "kernels/cpu/peak.h"

namespace eaq::kernels {
namespace {

// Twelve chains: two multiply-adds per cycle with a latency of four to five cycles need eight to ten in flight.
constexpr int kChains = 12;

template <int kLanes>
inline __attribute__((always_inline)) int64_t Loop(int64_t iterations) {
  typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
  Vector factor = {}, term = {}, chain[kChains] = {};
  factor += 0.5f;
  term += 1.0f;
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      chain[c] = chain[c] * factor + term;
      asm volatile("" : "+v"(chain[c]));  // keeps the chain in a register and the work undone by the compiler
    }
  }
  return iterations * kChains * kLanes * 2;
}

__attribute__((target("avx512f"))) int64_t Loop512(int64_t iterations) { return Loop<16>(iterations); }
__attribute__((target("avx2,fma"))) int64_t Loop256(int64_t iterations) { return Loop<8>(iterations); }

}  // namespace

int64_t FmaLoop(int64_t iterations) {
  return __builtin_cpu_supports("avx512f") ? Loop512(iterations) : Loop256(iterations);
}

}  // namespace eaq::kernels

#include "kernels/cuda/grouped_gemm_mixed.h"

namespace eaq::kernels::cuda {

// Groups of 64 and 32.
int GroupedGemmMixedA16Small(const GroupedGemmArguments& a, void* stream) {
  return a.group == 64 ? LaunchMixed<16, 2, 2, 3, 4, 6>(a, stream) : LaunchMixed<16, 4, 2, 3, 4, 6>(a, stream);
}

}  // namespace eaq::kernels::cuda

#include "kernels/cuda/grouped_gemm_mixed.h"

namespace eaq::kernels::cuda {

int GroupedGemmMixedA16(const GroupedGemmArguments& a, void* stream) {
  return a.group == 0 ? LaunchMixed<16, 0, 2, 3, 4, 6>(a, stream) : LaunchMixed<16, 1, 2, 3, 4, 6>(a, stream);
}

}  // namespace eaq::kernels::cuda

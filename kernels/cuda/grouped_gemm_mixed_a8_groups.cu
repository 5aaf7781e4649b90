#include "kernels/cuda/grouped_gemm_mixed.h"

namespace eaq::kernels::cuda {

// Groups of 128, 64 and 32.
int GroupedGemmMixedA8Groups(const GroupedGemmArguments& a, void* stream) {
  return a.group == 128  ? LaunchMixed<8, 1, 4, 8>(a, stream)
         : a.group == 64 ? LaunchMixed<8, 2, 4, 8>(a, stream)
                         : LaunchMixed<8, 4, 4, 8>(a, stream);
}

}  // namespace eaq::kernels::cuda

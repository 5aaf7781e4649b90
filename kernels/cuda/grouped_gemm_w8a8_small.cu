#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

// Groups of 64 and 32.
int GroupedGemmW8A8Small(const GroupedGemmArguments& a, void* stream) {
  return a.group == 64 ? LaunchFormat<8, 8, 2>(a, stream) : LaunchFormat<8, 8, 4>(a, stream);
}

}  // namespace eaq::kernels::cuda

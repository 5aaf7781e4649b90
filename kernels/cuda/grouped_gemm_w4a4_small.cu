#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

// Groups of 64 and 32.
int GroupedGemmW4A4Small(const GroupedGemmArguments& a, void* stream) {
  return a.group == 64 ? LaunchFormat<4, 4, 2>(a, stream) : LaunchFormat<4, 4, 4>(a, stream);
}

}  // namespace eaq::kernels::cuda

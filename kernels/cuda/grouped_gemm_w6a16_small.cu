#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

// Groups of 64 and 32.
int GroupedGemmW6A16Small(const GroupedGemmArguments& a, void* stream) {
  return a.group == 64 ? LaunchFormat<6, 16, 2>(a, stream) : LaunchFormat<6, 16, 4>(a, stream);
}

}  // namespace eaq::kernels::cuda

#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

int GroupedGemmW3A16(const GroupedGemmArguments& a, void* stream) {
  return a.group == 0 ? LaunchFormat<3, 16, 0>(a, stream) : LaunchFormat<3, 16, 1>(a, stream);
}

}  // namespace eaq::kernels::cuda

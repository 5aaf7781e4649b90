#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

int GroupedGemmW4A16(const GroupedGemmArguments& a, void* stream) {
  return a.group == 0 ? LaunchFormat<4, 16, 0>(a, stream) : LaunchFormat<4, 16, 1>(a, stream);
}

}  // namespace eaq::kernels::cuda

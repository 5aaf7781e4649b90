#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

template int LaunchFormat<2, 16, 0>(const GroupedGemmArguments& a, void* stream);
template int LaunchFormat<2, 16, 1>(const GroupedGemmArguments& a, void* stream);

}  // namespace eaq::kernels::cuda

#include "kernels/cuda/grouped_gemm_kernel.h"

namespace eaq::kernels::cuda {

template int LaunchFormat<6, 16, 2>(const GroupedGemmArguments& a, void* stream);
template int LaunchFormat<6, 16, 4>(const GroupedGemmArguments& a, void* stream);

}  // namespace eaq::kernels::cuda

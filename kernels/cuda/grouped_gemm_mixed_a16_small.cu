#include "kernels/cuda/grouped_gemm_mixed.h"

namespace eaq::kernels::cuda {

template int LaunchMixed<16, 2>(const GroupedGemmArguments& a, void* stream);
template int LaunchMixed<16, 4>(const GroupedGemmArguments& a, void* stream);

}  // namespace eaq::kernels::cuda

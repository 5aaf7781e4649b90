#include "kernels/cuda/grouped_gemm_mixed.h"

namespace eaq::kernels::cuda {

template int LaunchMixed<16, 0>(const GroupedGemmArguments& a, void* stream);
template int LaunchMixed<16, 1>(const GroupedGemmArguments& a, void* stream);

}  // namespace eaq::kernels::cuda

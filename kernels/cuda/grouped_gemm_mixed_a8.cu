#include "kernels/cuda/grouped_gemm_mixed.h"

namespace eaq::kernels::cuda {

int GroupedGemmMixedA8(const GroupedGemmArguments& a, void* stream) { return LaunchMixed<8, 0, 4, 8>(a, stream); }

}  // namespace eaq::kernels::cuda

// The launches behind grouped_gemm.h, one translation unit each (grouped_gemm_*.cu): they compile side by side.
#ifndef KERNELS_CUDA_GROUPED_GEMM_FORMATS_H_
#define KERNELS_CUDA_GROUPED_GEMM_FORMATS_H_

#include "kernels/cuda/grouped_gemm.h"

namespace eaq::kernels::cuda {

// Weights of kWeightBits beside activations of kActivationBits, kGrids grids (GridsOfBrick) for each 128 columns.
template <int kWeightBits, int kActivationBits, int kGrids>
int LaunchFormat(const GroupedGemmArguments& a, void* stream);

// Every expert its own width: 4 or 8 bits beside 8, 2, 3, 4 or 6 beside 16.
template <int kActivationBits, int kGrids>
int LaunchMixed(const GroupedGemmArguments& a, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_FORMATS_H_

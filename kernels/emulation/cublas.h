// What we call of cuBLAS, on the host: code that calls it runs without a GPU, with the library's own semantics
// (matrices by columns, leading dimensions, no reading of C where beta is 0) in plain loops. Included in place of
// <cublas_v2.h>; names and values are that header's.
#ifndef KERNELS_EMULATION_CUBLAS_H_
#define KERNELS_EMULATION_CUBLAS_H_

#include <cstdint>

struct EmulatedCublas;
using cublasHandle_t = EmulatedCublas*;

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cudaDataType { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_PEDANTIC = 69 };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };

cublasStatus_t cublasCreate(cublasHandle_t* handle);
cublasStatus_t cublasDestroy(cublasHandle_t handle);
cublasStatus_t cublasSetStream(cublasHandle_t handle, void* stream);
const char* cublasGetStatusString(cublasStatus_t status);

// C[m, n] = alpha op(A)[m, k] op(B)[k, n] + beta C, by columns, alpha and beta float32. A and B: both CUDA_R_16BF or
// both CUDA_R_32F; C: CUDA_R_32F. Sums in float64, rounded once: what the GPU's are within float32's noise of.
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm);

#endif  // KERNELS_EMULATION_CUBLAS_H_

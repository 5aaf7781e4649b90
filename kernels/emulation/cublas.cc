#include "kernels/emulation/cublas.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/bfloat16.h"

struct EmulatedCublas {
  void* stream = nullptr;
};

namespace {

using eaq::kernels::cuda::Bf16;

float Element(const void* matrix, cudaDataType type, int64_t at) {
  if (type == CUDA_R_32F) return static_cast<const float*>(matrix)[at];
  return ToFloat(Bf16{static_cast<const uint16_t*>(matrix)[at]});
}

// Vector i of op(M) (a row of the left factor, a column of the right one), k elements.
void Take(const void* matrix, cudaDataType type, int64_t ld, bool contiguous, int64_t i, std::vector<double>& to) {
  for (size_t j = 0; j < to.size(); ++j) {
    to[j] = Element(matrix, type, contiguous ? i * ld + static_cast<int64_t>(j) : static_cast<int64_t>(j) * ld + i);
  }
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum[4] = {};  // side by side: the chain of one sum is what the loop would wait for
  size_t i = 0;
  for (; i + 4 <= a.size(); i += 4) {
    for (int s = 0; s < 4; ++s) sum[s] += a[i + s] * b[i + s];
  }
  for (; i < a.size(); ++i) sum[0] += a[i] * b[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new EmulatedCublas;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, void* stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
  }
  return "unknown status";
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m, int n,
                            int k, const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t, cublasGemmAlgo_t) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const int a_rows = transa == CUBLAS_OP_N ? m : k, b_rows = transb == CUBLAS_OP_N ? k : n;
  if (m < 0 || n < 0 || k < 0 || lda < std::max(1, a_rows) || ldb < std::max(1, b_rows) || ldc < std::max(1, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (a_type != b_type || c_type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  const float factor = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  constexpr int kBlock = 64;  // rows of the left factor that are kept as doubles
  std::vector<std::vector<double>> left(kBlock, std::vector<double>(k));
  std::vector<double> right(k);
  for (int first = 0; first < m; first += kBlock) {
    const int rows = std::min(kBlock, m - first);
    for (int i = 0; i < rows; ++i) Take(a, a_type, lda, transa == CUBLAS_OP_T, first + i, left[i]);
    for (int j = 0; j < n; ++j) {
      Take(b, b_type, ldb, transb == CUBLAS_OP_N, j, right);
      for (int i = 0; i < rows; ++i) {
        const double product = factor * Dot(left[i], right);
        float& to = static_cast<float*>(c)[static_cast<int64_t>(j) * ldc + first + i];
        to = static_cast<float>(keep == 0 ? product : product + static_cast<double>(keep) * to);
      }
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

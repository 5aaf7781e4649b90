#include "kernels/device/dense_product.h"

#include <algorithm>
#include <limits>
#include <string>

#if defined(EAQ_EMULATED_CUBLAS)
#include "kernels/emulation/cublas.h"
using Stream = void*;
#else
#include <cublas_v2.h>
using Stream = cudaStream_t;
#endif

namespace eaq::kernels {

struct DenseProduct::Operands {
  const void *x, *w;
  int64_t ldx, ldw;
  float* y;
  int64_t ldy, n, out, in;
  bool bf16, add;
  std::string words() const {
    return std::string("dense product of ") + (bf16 ? "bfloat16" : "float32") + " [" + std::to_string(n) + ", " +
           std::to_string(in) + "] by [" + std::to_string(out) + ", " + std::to_string(in) + "]";
  }
};

namespace {

BackendStatus Checked(cublasStatus_t status, const std::string& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return BackendStatus::Failure(what + ": cuBLAS says: " + cublasGetStatusString(status));
}

}  // namespace

DenseProduct::~DenseProduct() {
  if (handle_ != nullptr) cublasDestroy(static_cast<cublasHandle_t>(handle_));
}

BackendStatus DenseProduct::Float32(const float* x, int64_t ldx, const float* w, int64_t ldw, float* y, int64_t ldy,
                                    int64_t n, int64_t out, int64_t in) {
  return Run({x, w, ldx, ldw, y, ldy, n, out, in, false, false});
}

BackendStatus DenseProduct::Bf16(const uint16_t* x, int64_t ldx, const uint16_t* w, int64_t ldw, float* y, int64_t ldy,
                                 int64_t n, int64_t out, int64_t in, bool add) {
  return Run({x, w, ldx, ldw, y, ldy, n, out, in, true, add});
}

BackendStatus DenseProduct::Run(const Operands& o) {
  const int64_t largest = std::max({o.ldx, o.ldw, o.ldy, o.n, o.out, o.in});
  if (largest > std::numeric_limits<int>::max() || std::min({o.n, o.out, o.in}) < 0) {
    return BackendStatus::Failure(o.words() + ": expected sizes and strides from 0 to 2^31 - 1");
  }
  if (o.n == 0 || o.out == 0) return {};
  if (handle_ == nullptr) {
    cublasHandle_t created = nullptr;
    BackendStatus status = Checked(cublasCreate(&created), "cublasCreate");
    if (!status.ok()) return status;
    handle_ = created;
    status = Checked(cublasSetStream(created, static_cast<Stream>(stream_)), "cublasSetStream");
    if (!status.ok()) return status;
  }
  // By columns, as cuBLAS reads them, y is [out, n], W is [in, out] and x is [in, n].
  const float one = 1, beta = o.add ? 1.0f : 0.0f;
  const cudaDataType type = o.bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const auto size = [](int64_t value) { return static_cast<int>(value); };
  return Checked(
      cublasGemmEx(static_cast<cublasHandle_t>(handle_), CUBLAS_OP_T, CUBLAS_OP_N, size(o.out), size(o.n), size(o.in),
                   &one, o.w, type, size(o.ldw), o.x, type, size(o.ldx), &beta, o.y, CUDA_R_32F, size(o.ldy),
                   o.bf16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_GEMM_DEFAULT),
      o.words());
}

}  // namespace eaq::kernels

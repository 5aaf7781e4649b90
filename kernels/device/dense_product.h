// Dense products on a device, by cuBLAS: what is not quantized, and the head. Emulated, the same calls run on
// kernels/emulation/cublas.h.
#ifndef KERNELS_DEVICE_DENSE_PRODUCT_H_
#define KERNELS_DEVICE_DENSE_PRODUCT_H_

#include <cstdint>

#include "kernels/backend.h"

namespace eaq::kernels {

// Work of one stream. All is row-major in device memory; sums are float32, in an order that cuBLAS chooses by the
// shape, the same in every run on one kind of device.
class DenseProduct {
 public:
  // On STREAM (a cudaStream_t), which outlives this. cuBLAS starts with the first product.
  explicit DenseProduct(void* stream) : stream_(stream) {}
  ~DenseProduct();
  DenseProduct(const DenseProduct&) = delete;
  DenseProduct& operator=(const DenseProduct&) = delete;

  // y[n, out] = x[n, in] W^T for W[out, in], float32 throughout (no TF32).
  BackendStatus Float32(const float* x, int64_t ldx, const float* w, int64_t ldw, float* y, int64_t ldy, int64_t n,
                        int64_t out, int64_t in);
  // The same for bfloat16 x and W on tensor cores, exact products. add: to what y holds.
  BackendStatus Bf16(const uint16_t* x, int64_t ldx, const uint16_t* w, int64_t ldw, float* y, int64_t ldy, int64_t n,
                     int64_t out, int64_t in, bool add);

 private:
  struct Operands;
  BackendStatus Run(const Operands& operands);

  void* stream_;
  void* handle_ = nullptr;  // cublasHandle_t
};

}  // namespace eaq::kernels

#endif  // KERNELS_DEVICE_DENSE_PRODUCT_H_

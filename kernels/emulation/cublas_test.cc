// The emulated cuBLAS against its definition, one element at a time.
#include "kernels/emulation/cublas.h"

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/bfloat16.h"

namespace eaq::kernels::emulation {
namespace {

class CublasTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(cublasCreate(&handle_), CUBLAS_STATUS_SUCCESS); }
  void TearDown() override { cublasDestroy(handle_); }
  cublasHandle_t handle_ = nullptr;
};

// Element (row, column) of a matrix by columns.
template <typename T>
T& At(std::vector<T>& matrix, int ld, int row, int column) {
  return matrix[static_cast<size_t>(column) * ld + row];
}

TEST_F(CublasTest, MultipliesInEveryOrientation) {
  const int m = 3, n = 4, k = 7, lda = 9, ldb = 8, ldc = 5;
  for (const auto& [ta, tb] : {std::pair(CUBLAS_OP_N, CUBLAS_OP_N),
                               {CUBLAS_OP_T, CUBLAS_OP_N},
                               {CUBLAS_OP_N, CUBLAS_OP_T},
                               {CUBLAS_OP_T, CUBLAS_OP_T}}) {
    for (const float beta : {0.0f, -0.5f}) {
      std::vector<float> a(lda * 9), b(ldb * 9), c(ldc * n, 2.0f);
      for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 13) - 6;
      for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 11) - 5;
      if (beta == 0) std::fill(c.begin(), c.end(), std::numeric_limits<float>::quiet_NaN());  // must not be read
      const std::vector<float> before = c;
      const float alpha = 2;
      ASSERT_EQ(cublasGemmEx(handle_, ta, tb, m, n, k, &alpha, a.data(), CUDA_R_32F, lda, b.data(), CUDA_R_32F, ldb,
                             &beta, c.data(), CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                CUBLAS_STATUS_SUCCESS);
      for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
          double sum = 0;
          for (int x = 0; x < k; ++x) {
            sum += static_cast<double>(ta == CUBLAS_OP_N ? At(a, lda, i, x) : At(a, lda, x, i)) *
                   (tb == CUBLAS_OP_N ? At(b, ldb, x, j) : At(b, ldb, j, x));
          }
          EXPECT_EQ(At(c, ldc, i, j), 2 * sum + (beta == 0 ? 0 : -0.5 * 2.0)) << ta << tb << " " << i << "," << j;
        }
      }
      for (int j = 0; j < n; ++j) {  // rows below m stay
        for (int i = m; i < ldc; ++i) {
          EXPECT_TRUE(At(c, ldc, i, j) == before[j * ldc + i] || std::isnan(before[j * ldc + i]));
        }
      }
    }
  }
}

TEST_F(CublasTest, TakesBfloat16) {
  std::vector<uint16_t> a = {cuda::ToBf16(1.5f).bits, cuda::ToBf16(-2).bits},
                        b = {cuda::ToBf16(4).bits, cuda::ToBf16(0.25f).bits};
  const float one = 1, zero = 0;
  float c = 0;
  ASSERT_EQ(cublasGemmEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, 2, &one, a.data(), CUDA_R_16BF, 2, b.data(),
                         CUDA_R_16BF, 2, &zero, &c, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(c, 5.5f);
}

TEST_F(CublasTest, RefusesWhatCublasRefuses) {
  const float one = 1, zero = 0;
  float numbers[4] = {};
  const auto multiply = [&](cublasHandle_t handle, int lda, int ldb, int ldc, cudaDataType type_of_c) {
    return cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 1, 2, &one, numbers, CUDA_R_32F, lda, numbers, CUDA_R_32F,
                        ldb, &zero, numbers, type_of_c, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(multiply(handle_, 1, 2, 2, CUDA_R_32F), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(handle_, 2, 1, 2, CUDA_R_32F), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(handle_, 2, 2, 1, CUDA_R_32F), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(handle_, 2, 2, 2, CUDA_R_16BF), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(multiply(nullptr, 2, 2, 2, CUDA_R_32F), CUBLAS_STATUS_NOT_INITIALIZED);
}

}  // namespace
}  // namespace eaq::kernels::emulation

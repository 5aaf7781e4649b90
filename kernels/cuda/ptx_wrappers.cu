// One kernel for each wrapper of ptx.h, named after it; tools/sass/ptx_test.cc looks at what nvcc makes of them.
// `extern "C"`: plain names. Operands come from fixed places of the parameters and go to fixed places, so that the test
// can say which is which.
#include "kernels/cuda/half.h"
#include "kernels/cuda/ptx.h"

namespace eaq::kernels::cuda {
namespace {

template <typename T>
struct Fragments {
  T d[4];
  uint32_t a[4], b[2];
};

template <typename T>
__device__ Fragments<T> Load(const uint32_t* a, const uint32_t* b, const T* d) {
  Fragments<T> f;
  for (int i = 0; i < 4; ++i) f.a[i] = a[i];
  for (int i = 0; i < 2; ++i) f.b[i] = b[i];
  for (int i = 0; i < 4; ++i) f.d[i] = d[i];
  return f;
}

template <typename T, int kCount>
__device__ void Store(const T (&values)[kCount], T* out) {
  for (int i = 0; i < kCount; ++i) out[i] = values[i];
}

#define EAQ_MMA(name, T)                                                                    \
  extern "C" __global__ void name(const uint32_t* a, const uint32_t* b, const T* c, T* d) { \
    Fragments<T> f = Load(a, b, c);                                                         \
    ptx::name(f.d, f.a, f.b);                                                               \
    Store(f.d, d);                                                                          \
  }
EAQ_MMA(MmaBf16, float)
EAQ_MMA(MmaF16, float)
EAQ_MMA(MmaS8, int)
EAQ_MMA(MmaS4, int)

#define EAQ_LOAD_MATRIX(name, count)               \
  extern "C" __global__ void name(uint32_t* out) { \
    EAQ_DYNAMIC_SHARED(uint32_t, shared);          \
    uint32_t r[count];                             \
    ptx::name(r, shared);                          \
    Store(r, out);                                 \
  }
EAQ_LOAD_MATRIX(LoadMatrix4, 4)
EAQ_LOAD_MATRIX(LoadMatrix4Transposed, 4)
EAQ_LOAD_MATRIX(LoadMatrix2, 2)
EAQ_LOAD_MATRIX(LoadMatrix2Transposed, 2)

extern "C" __global__ void CopyAsync16(const void* from, int valid) {
  EAQ_DYNAMIC_SHARED(uint32_t, shared);
  ptx::CopyAsync16(shared, from, valid != 0);
}
extern "C" __global__ void CopyAsync4(const void* from, int valid) {
  EAQ_DYNAMIC_SHARED(uint32_t, shared);
  ptx::CopyAsync4(shared, from, valid != 0);
}
extern "C" __global__ void CommitCopies() { ptx::CommitCopies(); }
extern "C" __global__ void WaitCopies() { ptx::WaitCopies<3>(); }
extern "C" __global__ void Barrier(int threads) { ptx::Barrier<5>(threads); }
extern "C" __global__ void LoadAcquire(const int* p, int* out) { *out = ptx::LoadAcquire(p); }
extern "C" __global__ void StoreRelease(int* p, int value) { ptx::StoreRelease(p, value); }

#define EAQ_LOAD_16(name)                                         \
  extern "C" __global__ void name(const void* p, uint32_t* out) { \
    const uint4 v = ptx::name(p);                                 \
    const uint32_t values[4] = {v.x, v.y, v.z, v.w};              \
    Store(values, out);                                           \
  }
EAQ_LOAD_16(LoadGlobal16)
EAQ_LOAD_16(LoadGlobalOnce16)

extern "C" __global__ void LoadShared(uint32_t* out) {
  EAQ_DYNAMIC_SHARED(uint4, shared);
  const uint4 v = ptx::LoadShared(shared);
  const uint32_t values[4] = {v.x, v.y, v.z, v.w};
  Store(values, out);
}
extern "C" __global__ void StoreShared(const uint32_t* in) {
  EAQ_DYNAMIC_SHARED(uint4, shared);
  ptx::StoreShared(shared, uint4{in[0], in[1], in[2], in[3]});
}

extern "C" __global__ void AndOr(const uint32_t* x, uint32_t* out) { *out = ptx::AndOr(x[0], x[1], x[2]); }
extern "C" __global__ void MultiplyAdd(const int* x, int* out) { *out = ptx::MultiplyAdd(x[0], x[1], x[2]); }
extern "C" __global__ void Exp2(const float* x, float* out) { *out = ptx::Exp2(*x); }

extern "C" __global__ void SubtractBf16x2(const uint32_t* x, uint32_t* out) { *out = cuda::SubtractBf16x2(x[0], x[1]); }

// of bfloat16.h and half.h
extern "C" __global__ void PackBf16(const float* x, uint32_t* out) { *out = cuda::PackBf16(x[0], x[1]); }
extern "C" __global__ void PackHalf(const float* x, uint32_t* out) { *out = cuda::PackHalf(x[0], x[1]); }
extern "C" __global__ void ToHalf(const float* x, Half* out) { *out = cuda::ToHalf(*x); }
extern "C" __global__ void HalfToFloat(const Half* x, float* out) { *out = cuda::ToFloat(*x); }

}  // namespace
}  // namespace eaq::kernels::cuda

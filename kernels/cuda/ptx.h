// All PTX of the project: one thin wrapper for each instruction, assembly under nvcc, the emulator's C++ elsewhere.
// Kernels contain none. Everything else that the emulator runs is the kernel's own source, so this file is the whole of
// what an emulated test does not prove; tools/sass/ptx_test.cc compiles each wrapper and compares the PTX with a
// reviewed line, and the machine code with the opcode that it must become.
//
// Names in brackets are PTX's. Fragment layouts: kernels/emulation/matrix.h.
#ifndef KERNELS_CUDA_PTX_H_
#define KERNELS_CUDA_PTX_H_

#include <cstdint>

#include "kernels/emulation/cuda_emulation.h"

#if defined(__CUDACC__)
#define EAQ_PTX __device__ __forceinline__
#define EAQ_PTX_SITE
#else
#include "kernels/emulation/async_copy.h"
#include "kernels/emulation/matrix.h"
#include "kernels/emulation/proxy.h"
#define EAQ_PTX inline
#define EAQ_PTX_SITE , ::eaq::kernels::emulation::Site site = ::eaq::kernels::emulation::Site::Here()
#endif

namespace eaq::kernels::cuda::ptx {

// ---- asynchronous copies, global -> shared

#if defined(__CUDACC__)
EAQ_PTX uint32_t SharedAddress(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }
#endif

// 16 bytes, both addresses multiples of 16, past L1 [cp.async.cg]. Not valid: fills zeros, reads nothing (GLOBAL must
// still be an address of the array, say its first).
EAQ_PTX void CopyAsync16(void* shared, const void* global, bool valid = true EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
#else
  emulation::CopyAsync(shared, global, 16, valid, site);
#endif
}

// The same with 4 bytes, through L1 [cp.async.ca]: for rows that do not start at multiples of 16.
EAQ_PTX void CopyAsync4(void* shared, const void* global, bool valid = true EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(SharedAddress(shared)), "l"(global),
               "r"(valid ? 4 : 0)
               : "memory");
#else
  emulation::CopyAsync(shared, global, 4, valid, site);
#endif
}

// This thread's copies since the last call form a group [cp.async.commit_group].
EAQ_PTX void CommitCopies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulation::CommitCopies();
#endif
}

// Returns when at most N groups of this thread are on their way [cp.async.wait_group]. Other threads see the copied
// bytes after a barrier that follows.
template <int N>
EAQ_PTX void WaitCopies() {
  static_assert(N >= 0, "a number of groups");
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#else
  emulation::WaitCopies(N);
#endif
}

// ---- tensor cores

// Four 8 x 8 matrices of 16-bit elements from shared memory [ldmatrix.x4]: lane 8 i + j names row j of matrix i.
EAQ_PTX void LoadMatrix4(uint32_t (&r)[4], const void* row EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
#else
  emulation::LoadMatrix4(r, row, false, site);
#endif
}

EAQ_PTX void LoadMatrix4Transposed(uint32_t (&r)[4], const void* row EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
#else
  emulation::LoadMatrix4(r, row, true, site);
#endif
}

// Two matrices; the addresses of lanes 0 to 15 count [ldmatrix.x2].
EAQ_PTX void LoadMatrix2(uint32_t (&r)[2], const void* row EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(SharedAddress(row))
               : "memory");
#else
  emulation::LoadMatrix2(r, row, false, site);
#endif
}

EAQ_PTX void LoadMatrix2Transposed(uint32_t (&r)[2], const void* row EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(SharedAddress(row))
               : "memory");
#else
  emulation::LoadMatrix2(r, row, true, site);
#endif
}

// d[16, 8] += a[16, 16] b[16, 8], bfloat16, sums in float [mma.m16n8k16]
EAQ_PTX void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::MmaBf16(d, a, b, site);
#endif
}

// The same in half.
EAQ_PTX void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::MmaF16(d, a, b, site);
#endif
}

// d[16, 8] += a[16, 32] b[32, 8], int8, sums in int32 that wrap [mma.m16n8k32]
EAQ_PTX void MmaS8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::MmaS8(d, a, b, site);
#endif
}

// d[16, 8] += a[16, 64] b[64, 8], int4 [mma.m16n8k64]. One instruction on sm_80 to sm_89; from sm_90 on a subroutine of
// about 190: kernels for those must use two MmaS8.
EAQ_PTX void MmaS4(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::MmaS4(d, a, b, site);
#endif
}

// ---- barriers and order

// THREADS threads (whole warps) of the block meet at barrier Id [bar.sync]; 0 is that of __syncthreads.
template <int Id>
EAQ_PTX void Barrier(int threads EAQ_PTX_SITE) {
  static_assert(Id >= 0 && Id < 16, "there are 16");
#if defined(__CUDACC__)
  asm volatile("bar.sync %0, %1;" ::"n"(Id), "r"(threads) : "memory");
#else
  emulation::ArriveAndWait(Id, threads, true, site);
#endif
}

// A word between blocks: who reads by LoadAcquire what another wrote by StoreRelease, sees all that the other wrote
// before [ld.acquire.gpu, st.release.gpu].
EAQ_PTX int LoadAcquire(const int* p) {
#if defined(__CUDACC__)
  int value;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
#else
  return __atomic_load_n(p, __ATOMIC_ACQUIRE);
#endif
}

EAQ_PTX void StoreRelease(int* p, int value) {
#if defined(__CUDACC__)
  asm volatile("st.release.gpu.global.s32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
#else
  __atomic_store_n(p, value, __ATOMIC_RELEASE);
#endif
}

// ---- memory

// 16 bytes of global memory that no thread writes during the kernel [ld.global.nc.v4].
EAQ_PTX uint4 LoadGlobal16(const void* p) {
#if defined(__CUDACC__)
  uint4 v;
  asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
#else
  emulation::CountGlobalAccess16(p);
  return *static_cast<const uint4*>(p);
#endif
}

// The same for what is read once (weights at decode): it takes no place in L1 [ld.global.nc.L1::no_allocate.v4].
EAQ_PTX uint4 LoadGlobalOnce16(const void* p) {
#if defined(__CUDACC__)
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
#else
  emulation::CountGlobalAccess16(p);
  return *static_cast<const uint4*>(p);
#endif
}

// Plain accesses to shared memory of 4, 8 or 16 bytes, whose bank conflicts the emulator counts.
template <typename T>
EAQ_PTX T LoadShared(const T* p EAQ_PTX_SITE) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16, "one access");
#if !defined(__CUDACC__)
  emulation::CountSharedAccess(p, sizeof(T), site);
#endif
  return *p;
}

template <typename T>
EAQ_PTX void StoreShared(T* p, const T& value EAQ_PTX_SITE) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16, "one access");
#if !defined(__CUDACC__)
  emulation::CountSharedAccess(p, sizeof(T), site);
  emulation::MarkGenericWrite(p, sizeof(T), site);
#endif
  *p = value;
}

// ---- arithmetic

// (x & mask) | bits in one instruction, whatever the constants are: the compiler would spend two where both are
// [lop3, table 0xea].
EAQ_PTX uint32_t AndOr(uint32_t x, uint32_t mask, uint32_t bits) {
#if defined(__CUDACC__)
  uint32_t y;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(y) : "r"(x), "r"(mask), "r"(bits));
  return y;
#else
  return (x & mask) | bits;
#endif
}

// 2^x with a relative error below 2^-22; numbers below 2^-126 become 0 [ex2.approx.ftz].
EAQ_PTX float Exp2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  const float y = std::exp2(x);
  return y < 1.17549435e-38f ? 0.0f : y;
#endif
}

// A * B + C in one instruction [mad.lo.s32]. Where C is a multiple of A, the compiler would factor it out: two.
EAQ_PTX int MultiplyAdd(int a, int b, int c) {
#if defined(__CUDACC__)
  int d;
  asm("mad.lo.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
#else
  return a * b + c;
#endif
}

}  // namespace eaq::kernels::cuda::ptx

#undef EAQ_PTX
#undef EAQ_PTX_SITE

#endif  // KERNELS_CUDA_PTX_H_

// PTX that only Hopper has (sm_90a): barriers in shared memory that count bytes, bulk copies, clusters, tensor-core
// products of a warpgroup. As ptx.h: one thin wrapper for each instruction, the emulator's C++ elsewhere;
// ptx_hopper_golden.txt holds the reviewed lines. Kernels that include this are compiled for sm_90a alone.
//
// Names in brackets are PTX's. What may be done when: kernels/emulation/{transaction_barrier,bulk_copy,proxy,warpgroup,
// cluster}.h, which check it.
#ifndef KERNELS_CUDA_PTX_HOPPER_H_
#define KERNELS_CUDA_PTX_HOPPER_H_

#include <cstdint>

#include "kernels/cuda/ptx.h"
#include "kernels/emulation/cuda_emulation.h"

#if defined(__CUDACC__)
#define EAQ_PTX __device__ __forceinline__
#define EAQ_PTX_SITE
#else
#include "kernels/emulation/bulk_copy.h"
#include "kernels/emulation/cluster.h"
#include "kernels/emulation/proxy.h"
#include "kernels/emulation/transaction_barrier.h"
#include "kernels/emulation/warpgroup.h"
#define EAQ_PTX inline
#define EAQ_PTX_SITE , ::eaq::kernels::emulation::Site site = ::eaq::kernels::emulation::Site::Here()
#endif
// For functions without other parameters.
#if defined(__CUDACC__)
#define EAQ_PTX_ONLY_SITE
#else
#define EAQ_PTX_ONLY_SITE ::eaq::kernels::emulation::Site site = ::eaq::kernels::emulation::Site::Here()
#endif

namespace eaq::kernels::cuda::ptx {

// ---- barriers in shared memory. A phase is over when `arrivals` threads have arrived and all bytes that they
// announced have come; the next one has the other parity, the first has 0.

EAQ_PTX void InitBarrier(uint64_t* barrier, int arrivals EAQ_PTX_SITE) {  // [mbarrier.init]
#if defined(__CUDACC__)
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(barrier)), "r"(arrivals) : "memory");
#else
  emulation::InitBarrier(barrier, arrivals, site);
#endif
}

// By the thread that initialized barriers, before others of the cluster (or copies) use them; a barrier of the block or
// cluster must follow [fence.mbarrier_init].
EAQ_PTX void FenceBarrierInit() {
#if defined(__CUDACC__)
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  emulation::FenceBarrierInit();
#endif
}

// Arrives and announces that BYTES will come by copies [mbarrier.arrive.expect_tx].
EAQ_PTX void ArriveExpect(uint64_t* barrier, int bytes EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)), "r"(bytes)
               : "memory");
#else
  emulation::ArriveExpect(barrier, bytes, site);
#endif
}

EAQ_PTX void Arrive(uint64_t* barrier EAQ_PTX_SITE) {  // [mbarrier.arrive]
#if defined(__CUDACC__)
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(barrier)) : "memory");
#else
  emulation::Arrive(barrier, -1, site);
#endif
}

// At the same barrier of block RANK of the cluster [mapa, mbarrier.arrive.shared::cluster]. It orders what this thread
// did in its own block's shared memory; the default scope, for .release.cluster costs a fence of the whole device.
EAQ_PTX void ArriveAt(uint64_t* barrier, int rank EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(SharedAddress(barrier)),
      "r"(rank)
      : "memory");
#else
  emulation::Arrive(barrier, rank, site);
#endif
}

// Whether the phase of PARITY is over; waits for a while before it says no: call it in a loop
// [mbarrier.try_wait.parity].
EAQ_PTX bool TryWait(uint64_t* barrier, uint32_t parity EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  uint32_t over;
  asm volatile(
      "{\n.reg .pred over;\nmbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\nselp.u32 %0, 1, 0, over; }"
      : "=r"(over)
      : "r"(SharedAddress(barrier)), "r"(parity)
      : "memory");
  return over != 0;
#else
  emulation::Wait(barrier, parity, site);
  return true;
#endif
}

// ---- bulk copies, global -> shared, by the asynchronous proxy. Addresses and BYTES are multiples of 16; the bytes are
// counted at BARRIER.

EAQ_PTX void CopyBulk(void* shared, const void* global, int bytes, uint64_t* barrier EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   SharedAddress(shared)),
               "l"(global), "r"(bytes), "r"(SharedAddress(barrier))
               : "memory");
#else
  emulation::CopyBulk(shared, global, bytes, barrier, -1, site);
#endif
}

// To the same place of every block of the cluster whose bit is set, counted at the same barrier of each
// [.multicast::cluster].
EAQ_PTX void CopyBulkToBlocks(void* shared, const void* global, int bytes, uint64_t* barrier,
                              uint16_t blocks EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], "
      "%4;" ::"r"(SharedAddress(shared)),
      "l"(global), "r"(bytes), "r"(SharedAddress(barrier)), "h"(blocks)
      : "memory");
#else
  emulation::CopyBulk(shared, global, bytes, barrier, blocks, site);
#endif
}

// What this thread wrote to shared memory by ordinary stores, and its cp.async copies that it has waited for, may be
// read by wgmma after a barrier that follows [fence.proxy.async].
EAQ_PTX void FenceProxyAsync() {
#if defined(__CUDACC__)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  emulation::FenceProxyAsync();
#endif
}

// ---- clusters

// All threads of all blocks of the cluster meet [barrier.cluster].
EAQ_PTX void ClusterSync(EAQ_PTX_ONLY_SITE) {
#if defined(__CUDACC__)
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#else
  emulation::ClusterSync(site);
#endif
}

// ---- registers: a warpgroup gives some back, another takes them [setmaxnreg]. Multiples of 8, 24 to 256.

template <int N>
EAQ_PTX void RegistersDown() {
#if defined(__CUDACC__)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#endif
}

template <int N>
EAQ_PTX void RegistersUp() {
#if defined(__CUDACC__)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#endif
}

// ---- products of a warpgroup (four warps, the first a multiple of four). Every batch: WgmmaFence, products,
// WgmmaCommit; WgmmaWait<N> returns when at most N batches are on their way. Until then sums must not be touched,
// and neither the registers of A nor the shared memory of B be written.

EAQ_PTX void WgmmaFence(EAQ_PTX_ONLY_SITE) {  // [wgmma.fence]
#if defined(__CUDACC__)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
  emulation::WgmmaFence(site);
#endif
}

EAQ_PTX void WgmmaCommit(EAQ_PTX_ONLY_SITE) {  // [wgmma.commit_group]
#if defined(__CUDACC__)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  emulation::WgmmaCommit(site);
#endif
}

template <int N>
EAQ_PTX void WgmmaWait(EAQ_PTX_ONLY_SITE) {  // [wgmma.wait_group]
#if defined(__CUDACC__)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#else
  emulation::WgmmaWait(N, site);
#endif
}

// Keeps the compiler, which takes a product's sums for finished where the assembly stands, from reading them before the
// wait that this follows. No instruction.
EAQ_PTX void Pin([[maybe_unused]] int32_t& sum) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(sum)::"memory");
#endif
}

// wgmma's descriptor of tokens in shared memory: rows of 128 bytes, 8 rows in 1024 bytes at a multiple of 1024, the
// 16-byte chunk c of row r in place c ^ (r % 8) ("128-byte swizzle", K-major). SHARED is the first row's start, or a
// multiple of 32 bytes behind it for columns further on.
EAQ_PTX uint64_t SwizzledRows(const void* shared) {
#if defined(__CUDACC__)
  const uint32_t address = SharedAddress(shared);
#else
  const uint32_t address = emulation::SharedAddress(shared);
#endif
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kEightRows = uint64_t{1024 / 16} << 32,
                     kUnused = uint64_t{1} << 16;
  return kSwizzle128 | kEightRows | kUnused | (address & 0x3ffff) >> 4;
}

// d[64, N] += a[64, 32] b[32, N], int8, sums in int32 that wrap; not `add`: d = a b [wgmma.mma_async.m64nNk32]. Warp w
// of the group has rows 16 w ..., a and its pieces of d as in MmaS8: d[4 j + i] is element i of columns 8 j .... b is
// the tokens' 32 bytes from `tokens` on.
inline constexpr int kWgmmaSums = 72;  // of the widest, N = 144; the others leave the rest alone

#define EAQ_SUM(i) "+r"(d[i])
#define EAQ_SUMS_8(i)                                                                                         \
  EAQ_SUM(i), EAQ_SUM(i + 1), EAQ_SUM(i + 2), EAQ_SUM(i + 3), EAQ_SUM(i + 4), EAQ_SUM(i + 5), EAQ_SUM(i + 6), \
      EAQ_SUM(i + 7)
#define EAQ_SUMS_32 EAQ_SUMS_8(0), EAQ_SUMS_8(8), EAQ_SUMS_8(16), EAQ_SUMS_8(24)
#define EAQ_SUMS_48 EAQ_SUMS_8(0), EAQ_SUMS_8(8), EAQ_SUMS_8(16), EAQ_SUMS_8(24), EAQ_SUMS_8(32), EAQ_SUMS_8(40)
#define EAQ_SUMS_56 \
  EAQ_SUMS_8(0), EAQ_SUMS_8(8), EAQ_SUMS_8(16), EAQ_SUMS_8(24), EAQ_SUMS_8(32), EAQ_SUMS_8(40), EAQ_SUMS_8(48)
#define EAQ_SUMS_64                                                                                             \
  EAQ_SUMS_8(0), EAQ_SUMS_8(8), EAQ_SUMS_8(16), EAQ_SUMS_8(24), EAQ_SUMS_8(32), EAQ_SUMS_8(40), EAQ_SUMS_8(48), \
      EAQ_SUMS_8(56)
#define EAQ_SUMS_72                                                                                             \
  EAQ_SUMS_8(0), EAQ_SUMS_8(8), EAQ_SUMS_8(16), EAQ_SUMS_8(24), EAQ_SUMS_8(32), EAQ_SUMS_8(40), EAQ_SUMS_8(48), \
      EAQ_SUMS_8(56), EAQ_SUMS_8(64)
EAQ_PTX void WgmmaS8N64(int32_t (&d)[kWgmmaSums], const uint32_t (&a)[4], uint64_t tokens, bool add EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n.reg .pred more;\nsetp.ne.b32 more, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, more; }"
      : EAQ_SUMS_32
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tokens), "r"(add ? 1 : 0)
      : "memory");
#else
  emulation::WgmmaS8(d, 64, a, tokens, add, site);
#endif
}

EAQ_PTX void WgmmaS8N96(int32_t (&d)[kWgmmaSums], const uint32_t (&a)[4], uint64_t tokens, bool add EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n.reg .pred more;\nsetp.ne.b32 more, %53, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n96k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, "
      "{%48, %49, %50, %51}, %52, more; }"
      : EAQ_SUMS_48
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tokens), "r"(add ? 1 : 0)
      : "memory");
#else
  emulation::WgmmaS8(d, 96, a, tokens, add, site);
#endif
}

EAQ_PTX void WgmmaS8N112(int32_t (&d)[kWgmmaSums], const uint32_t (&a)[4], uint64_t tokens, bool add EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n.reg .pred more;\nsetp.ne.b32 more, %61, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n112k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55}, "
      "{%56, %57, %58, %59}, %60, more; }"
      : EAQ_SUMS_56
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tokens), "r"(add ? 1 : 0)
      : "memory");
#else
  emulation::WgmmaS8(d, 112, a, tokens, add, site);
#endif
}

EAQ_PTX void WgmmaS8N128(int32_t (&d)[kWgmmaSums], const uint32_t (&a)[4], uint64_t tokens, bool add EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n.reg .pred more;\nsetp.ne.b32 more, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, more; }"
      : EAQ_SUMS_64
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tokens), "r"(add ? 1 : 0)
      : "memory");
#else
  emulation::WgmmaS8(d, 128, a, tokens, add, site);
#endif
}

EAQ_PTX void WgmmaS8N144(int32_t (&d)[kWgmmaSums], const uint32_t (&a)[4], uint64_t tokens, bool add EAQ_PTX_SITE) {
#if defined(__CUDACC__)
  asm volatile(
      "{\n.reg .pred more;\nsetp.ne.b32 more, %77, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n144k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71}, "
      "{%72, %73, %74, %75}, %76, more; }"
      : EAQ_SUMS_72
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tokens), "r"(add ? 1 : 0)
      : "memory");
#else
  emulation::WgmmaS8(d, 144, a, tokens, add, site);
#endif
}

#undef EAQ_SUM
#undef EAQ_SUMS_8
#undef EAQ_SUMS_32
#undef EAQ_SUMS_48
#undef EAQ_SUMS_56
#undef EAQ_SUMS_64
#undef EAQ_SUMS_72

}  // namespace eaq::kernels::cuda::ptx

#undef EAQ_PTX
#undef EAQ_PTX_SITE
#undef EAQ_PTX_ONLY_SITE

#endif  // KERNELS_CUDA_PTX_HOPPER_H_

// One kernel for each wrapper of ptx_hopper.h, as ptx_wrappers.cu has them for ptx.h.
#include "kernels/cuda/ptx_hopper.h"

namespace eaq::kernels::cuda {
namespace {

#define EAQ_BARRIER_KERNEL(name, ...)                               \
  extern "C" __global__ void name([[maybe_unused]] int parameter) { \
    EAQ_DYNAMIC_SHARED(uint64_t, shared);                           \
    ptx::name(shared, ##__VA_ARGS__);                               \
  }
EAQ_BARRIER_KERNEL(InitBarrier, parameter)
EAQ_BARRIER_KERNEL(ArriveExpect, parameter)
EAQ_BARRIER_KERNEL(Arrive)
EAQ_BARRIER_KERNEL(ArriveAt, parameter)

extern "C" __global__ void TryWait(uint32_t parity, uint32_t* out) {
  EAQ_DYNAMIC_SHARED(uint64_t, shared);
  out[0] = ptx::TryWait(shared, parity) ? 1 : 0;
}
extern "C" __global__ void CopyBulk(const void* from, int bytes) {
  EAQ_DYNAMIC_SHARED(uint64_t, shared);
  ptx::CopyBulk(shared, from, bytes, shared);
}
extern "C" __global__ void CopyBulkToBlocks(const void* from, int bytes, uint16_t blocks) {
  EAQ_DYNAMIC_SHARED(uint64_t, shared);
  ptx::CopyBulkToBlocks(shared, from, bytes, shared, blocks);
}
extern "C" __global__ void FenceBarrierInit() { ptx::FenceBarrierInit(); }
extern "C" __global__ void FenceProxyAsync() { ptx::FenceProxyAsync(); }
extern "C" __global__ void ClusterSync() { ptx::ClusterSync(); }
extern "C" __global__ void __launch_bounds__(128, 1) RegistersDown() { ptx::RegistersDown<40>(); }
extern "C" __global__ void __launch_bounds__(128, 1) RegistersUp() { ptx::RegistersUp<232>(); }
extern "C" __global__ void WgmmaFence() { ptx::WgmmaFence(); }
extern "C" __global__ void WgmmaCommit() { ptx::WgmmaCommit(); }
extern "C" __global__ void WgmmaWait() { ptx::WgmmaWait<1>(); }

#define EAQ_WGMMA(columns)                                                                                       \
  extern "C" __global__ void WgmmaS8N##columns(const uint32_t* a, uint64_t tokens, const int32_t* c, int32_t* d, \
                                               int add) {                                                        \
    int32_t sums[ptx::kWgmmaSums];                                                                               \
    uint32_t own[4];                                                                                             \
    for (int i = 0; i < 4; ++i) own[i] = a[i];                                                                   \
    for (int i = 0; i < columns / 2; ++i) sums[i] = c[i];                                                        \
    ptx::WgmmaFence();                                                                                           \
    ptx::WgmmaS8N##columns(sums, own, tokens, add != 0);                                                         \
    ptx::WgmmaCommit();                                                                                          \
    ptx::WgmmaWait<0>();                                                                                         \
    for (int i = 0; i < columns / 2; ++i) d[i] = sums[i];                                                        \
  }
EAQ_WGMMA(64)
EAQ_WGMMA(96)
EAQ_WGMMA(112)
EAQ_WGMMA(128)
EAQ_WGMMA(144)

}  // namespace
}  // namespace eaq::kernels::cuda

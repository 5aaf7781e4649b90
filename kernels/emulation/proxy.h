// The two proxies of shared memory: what threads write by ordinary stores and cp.async (generic) is seen by wgmma
// (asynchronous) only after fence.proxy.async of the writing thread, which for cp.async counts when the thread has
// waited for the copy before. The emulator remembers what was written and not fenced, in blocks that have an mbarrier
// (others have no asynchronous reader): stores through ptx::StoreShared and cp.async.
#ifndef KERNELS_EMULATION_PROXY_H_
#define KERNELS_EMULATION_PROXY_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

void FenceProxyAsync();

// The running thread has written there (or a copy of it may have landed).
void MarkGenericWrite(const void* shared, int bytes, Site site);

// Internal: of one block, in chunks of 16 bytes.
class GenericWrites {
 public:
  void Mark(const void* shared, int bytes, unsigned thread, Site site);
  void Fence(unsigned thread);
  void Forget(const void* shared, int bytes);
  // Ends the program if some of it was written and not fenced.
  void CheckFenced(const void* shared, int bytes, const char* what, Site site) const;
  void Clear();

 private:
  struct Write {
    unsigned thread;
    Site site;
  };
  std::unordered_map<uintptr_t, Write> chunks_;
  std::unordered_map<unsigned, std::vector<uintptr_t>> of_thread_;  // chunks that it wrote, some of them others since
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_PROXY_H_

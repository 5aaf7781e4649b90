#include "kernels/emulation/proxy.h"

#include "kernels/emulation/block.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {
namespace {

template <typename F>
void ForChunks(const void* shared, int bytes, F f) {
  const auto first = reinterpret_cast<uintptr_t>(shared) / 16,
             end = (reinterpret_cast<uintptr_t>(shared) + bytes + 15) / 16;
  for (uintptr_t chunk = first; chunk < end; ++chunk) f(chunk);
}

}  // namespace

void GenericWrites::Mark(const void* shared, int bytes, unsigned thread, Site site) {
  const Quiet quiet;
  ForChunks(shared, bytes, [&](uintptr_t chunk) {
    chunks_[chunk] = {thread, site};
    of_thread_[thread].push_back(chunk);
  });
}

void GenericWrites::Fence(unsigned thread) {
  const Quiet quiet;
  std::vector<uintptr_t>& written = of_thread_[thread];
  for (const uintptr_t chunk : written) {
    const auto found = chunks_.find(chunk);
    if (found != chunks_.end() && found->second.thread == thread) chunks_.erase(found);
  }
  written.clear();
}

void GenericWrites::Clear() {
  const Quiet quiet;
  chunks_.clear();
  of_thread_.clear();
}

void GenericWrites::Forget(const void* shared, int bytes) {
  if (chunks_.empty()) return;
  const Quiet quiet;
  ForChunks(shared, bytes, [&](uintptr_t chunk) { chunks_.erase(chunk); });
}

void GenericWrites::CheckFenced(const void* shared, int bytes, const char* what, Site site) const {
  if (chunks_.empty()) return;
  ForChunks(shared, bytes, [&](uintptr_t chunk) {
    const auto found = chunks_.find(chunk);
    if (found == chunks_.end()) return;
    Die("%s (%s) reads shared memory that thread %u wrote at %s without fence.proxy.async after it", what,
        ToString(site).c_str(), found->second.thread, ToString(found->second.site).c_str());
  });
}

void FenceProxyAsync() {
  Thread& thread = RunningIn("fence.proxy.async");
  thread.its_block->generic_writes.Fence(thread.index);
}

void MarkGenericWrite(const void* shared, int bytes, Site site) {
  Thread& thread = RunningIn("a store to shared memory");
  Block& block = *thread.its_block;
  if (!block.transaction_barriers.empty()) block.generic_writes.Mark(shared, bytes, thread.index, site);
}

}  // namespace eaq::kernels::emulation

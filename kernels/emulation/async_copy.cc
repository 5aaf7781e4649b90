#include "kernels/emulation/async_copy.h"

#include <cstdint>
#include <cstring>

#include "kernels/emulation/block.h"
#include "kernels/emulation/proxy.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {

// By memcpy and memset as calls, not inlined: the sanitizers' own versions check both sides, in the name of the thread
// that issued the copy.
void CopyQueue::Land(const Copy& copy) {
  static void* (*const volatile move)(void*, const void*, size_t) = &std::memcpy;
  static void* (*const volatile fill)(void*, int, size_t) = &std::memset;
  if (copy.valid) {
    move(copy.shared, copy.global, copy.bytes);
  } else {
    fill(copy.shared, 0, copy.bytes);
  }
}

void CopyQueue::Add(void* shared, const void* global, int bytes, bool valid, Site site, bool land_now) {
  {
    const Quiet quiet;
    copies_.push_back({shared, global, bytes, valid, land_now, site});
  }
  if (land_now) Land(copies_.back());
  MarkGenericWrite(shared, bytes, site);
  ++open_;
}

void CopyQueue::Commit() {
  const Quiet quiet;
  groups_.push_back(open_);
  open_ = 0;
}

void CopyQueue::Wait(size_t groups_left) {
  size_t copies = 0, groups = 0;
  while (groups_.size() - groups > groups_left) copies += groups_[groups++];
  for (size_t i = 0; i < copies; ++i) {
    if (!copies_[i].landed) Land(copies_[i]);
    MarkGenericWrite(copies_[i].shared, copies_[i].bytes, copies_[i].site);  // a fence before this wait was too early
  }
  const Quiet quiet;
  copies_.erase(copies_.begin(), copies_.begin() + static_cast<int64_t>(copies));
  groups_.erase(groups_.begin(), groups_.begin() + static_cast<int64_t>(groups));
}

void CopyQueue::CheckAllWaited() {
  if (!copies_.empty()) {
    Die("a thread returned with %zu asynchronous copies that it never waited for, the first from %s", copies_.size(),
        ToString(copies_.front().site).c_str());
  }
  groups_.clear();  // groups without copies harm nobody
}

void CopyAsync(void* shared, const void* global, int bytes, bool valid, Site site) {
  Thread& thread = RunningIn("an asynchronous copy");
  if (bytes != 4 && bytes != 8 && bytes != 16) Die("cp.async moves 4, 8 or 16 bytes, not %d", bytes);
  if (reinterpret_cast<uintptr_t>(shared) % bytes != 0 || (valid && reinterpret_cast<uintptr_t>(global) % bytes != 0)) {
    Die("cp.async of %d bytes: an address is no multiple of %d (%s)", bytes, bytes, ToString(site).c_str());
  }
  if (!thread.its_block->shared.Contains(shared, bytes)) {
    Die("cp.async to an address outside shared memory (%s)", ToString(site).c_str());
  }
  Counters& counters = thread.its_block->scheduler->counters;
  ++counters.copies;
  if (valid) counters.copied_bytes += bytes;
  thread.copies.Add(shared, global, bytes, valid, site, !CurrentOptions().copies_land_late);
}

void CommitCopies() { RunningIn("cp.async.commit_group").copies.Commit(); }

void WaitCopies(int groups_left) { RunningIn("cp.async.wait_group").copies.Wait(static_cast<size_t>(groups_left)); }

}  // namespace eaq::kernels::emulation

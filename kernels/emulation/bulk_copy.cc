#include "kernels/emulation/bulk_copy.h"

#include <cstring>

#include "kernels/emulation/block.h"
#include "kernels/emulation/cluster.h"
#include "kernels/emulation/limits.h"
#include "kernels/emulation/options.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {

void BulkCopies::Add(const Copy& copy) {
  const Quiet quiet;
  copies_.push_back(copy);
}

// In nobody's name: the copy engine's.
void BulkCopies::Land(const Copy& copy) {
  {
    const Quiet quiet;
    std::memcpy(copy.shared, copy.global, static_cast<size_t>(copy.bytes));
  }
  copy.block->generic_writes.Forget(copy.shared, copy.bytes);
  copy.block->scheduler->counters.bulk_landed_bytes += static_cast<uint64_t>(copy.bytes);
  CompleteBytes(FindBarrier(*copy.block, copy.barrier, true, "cp.async.bulk", copy.site), copy.bytes);
}

bool BulkCopies::LandOne(uint64_t pick) {
  if (copies_.empty()) return false;
  const auto at = copies_.begin() + static_cast<int64_t>(pick % copies_.size());
  const Copy copy = *at;
  {
    const Quiet quiet;
    copies_.erase(at);
  }
  Land(copy);
  return true;
}

void BulkCopies::CheckNoneTo(const Block& block) const {
  for (const Copy& copy : copies_) {
    if (copy.block == &block) {
      Die("a block ended with bulk copies on their way to it, the first from %s", ToString(copy.site).c_str());
    }
  }
}

void CopyBulk(void* shared, const void* global, int bytes, uint64_t* barrier, int blocks, Site site) {
  Thread& thread = RunningIn("cp.async.bulk");
  CheckHopper("cp.async.bulk", site);
  Block& own = *thread.its_block;
  if (bytes <= 0 || bytes % 16 != 0 || reinterpret_cast<uintptr_t>(shared) % 16 != 0 ||
      reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    Die("cp.async.bulk: addresses and bytes (%d) are multiples of 16 (%s)", bytes, ToString(site).c_str());
  }
  if (!own.shared.Contains(shared, static_cast<size_t>(bytes))) {
    Die("cp.async.bulk to an address outside shared memory (%s)", ToString(site).c_str());
  }
  Scheduler& scheduler = *own.scheduler;
  ++scheduler.counters.bulk_copies;
  scheduler.counters.bulk_bytes += static_cast<uint64_t>(bytes);
  const auto start = [&](const BulkCopies::Copy& copy) {
    FindBarrier(*copy.block, copy.barrier, true, "cp.async.bulk", site);
    if (CurrentOptions().copies_land_late) {
      scheduler.bulk_copies.Add(copy);
    } else {
      BulkCopies::Land(copy);
    }
  };
  if (blocks == -1) return start({&own, shared, global, bytes, barrier, site});
  for (int rank = 0; blocks >> rank != 0; ++rank) {
    if ((blocks >> rank & 1) == 0) continue;
    Block& block = BlockOfCluster(own, rank, "cp.async.bulk", site);
    start({&block, InBlock(own, shared, block, site), global, bytes,
           static_cast<const uint64_t*>(InBlock(own, barrier, block, site)), site});
  }
}

}  // namespace eaq::kernels::emulation

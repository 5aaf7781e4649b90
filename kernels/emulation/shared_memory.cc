#include "kernels/emulation/shared_memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/emulation/block.h"
#include "kernels/emulation/limits.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {
namespace {

#if defined(EAQ_EMULATION_ASAN)
constexpr size_t kGuard = 0;
#else
constexpr size_t kGuard = 128;  // bytes before and after; keeps the alignment of dynamic shared memory
#endif
constexpr unsigned char kGuardByte = 0xc5;

char* Allocate(size_t bytes, size_t alignment) {
  Quiet quiet;
  void* memory = nullptr;
  if (posix_memalign(&memory, std::max<size_t>(alignment, 128), std::max<size_t>(bytes, 1) + 2 * kGuard) != 0) {
    Die("no memory for %zu bytes of shared memory", bytes);
  }
  char* data = static_cast<char*>(memory) + kGuard;
  if (kGuard > 0) std::memset(memory, kGuardByte, bytes + 2 * kGuard);
  std::memset(data, 0xff, bytes);
  return data;
}

void Count(Counters& counters, const SharedMemory::Access& access) {
  int groups = 0;
  const int lanes_a_group = 32 / std::max(1, access.bytes / 4);
  for (int first = 0; first < 32; first += lanes_a_group) {
    const unsigned group = lanes_a_group == 32 ? ~0u : ((1u << lanes_a_group) - 1) << first;
    groups += (access.lanes & group) != 0;
  }
  ++counters.shared_accesses;
  counters.shared_ideal_wavefronts += groups;
  counters.shared_wavefronts += Wavefronts(access.addresses, access.lanes, access.bytes);
}

}  // namespace

int Wavefronts(const uintptr_t (&addresses)[32], unsigned lanes, int bytes) {
  const int words = std::max(1, bytes / 4), lanes_a_group = 32 / words;
  int wavefronts = 0;
  for (int first = 0; first < 32; first += lanes_a_group) {
    uintptr_t seen[32][32];
    int count[32] = {}, worst = 0;
    for (int lane = first; lane < first + lanes_a_group; ++lane) {
      if ((lanes >> lane & 1) == 0) continue;
      for (int w = 0; w < words; ++w) {
        const uintptr_t word = addresses[lane] / 4 + w;
        uintptr_t* bank = seen[word % 32];
        int& n = count[word % 32];
        if (std::find(bank, bank + n, word) == bank + n) bank[n++] = word;
        worst = std::max(worst, n);
      }
    }
    wavefronts += worst;
  }
  return wavefronts;
}

SharedMemory::~SharedMemory() { Clear(); }

void SharedMemory::Start(size_t dynamic_bytes) {
  Clear();
  dynamic_bytes_ = dynamic_bytes;
  if (dynamic_bytes == 0) return;
  // In all blocks the same rest modulo 1024 (a cluster's addresses, wgmma's swizzle), and, but for AddressSanitizer,
  // not 0: a kernel is promised 128.
  dynamic_ = Allocate(dynamic_bytes, 1024);
  entries_.push_back({this, static_cast<char*>(dynamic_), dynamic_bytes});
}

void SharedMemory::Clear() {
  Quiet quiet;
  CheckGuards();
  for (const Entry& entry : entries_) std::free(entry.data - kGuard);
  entries_.clear();
  accesses.clear();
  dynamic_ = nullptr;
  static_bytes_ = dynamic_bytes_ = 0;
}

void SharedMemory::CheckGuards() const {
  for (const Entry& entry : entries_) {
    for (size_t i = 0; i < kGuard; ++i) {
      const bool before = static_cast<unsigned char>(entry.data[-1 - static_cast<int64_t>(i)]) != kGuardByte;
      const bool after = static_cast<unsigned char>(entry.data[entry.bytes + i]) != kGuardByte;
      if (!before && !after) continue;
      Die("a block wrote byte %zu %s its %s array of %zu bytes in shared memory (AddressSanitizer says where)", i + 1,
          before ? "before" : "past the end of", entry.key == this ? "dynamic" : "EAQ_SHARED", entry.bytes);
    }
  }
}

void* SharedMemory::Array(const void* key, size_t bytes, size_t alignment) {
  for (const Entry& entry : entries_)
    if (entry.key == key) return entry.data;
  const Quiet quiet;
  static_bytes_ += bytes;
  CheckSharedMemory(static_bytes_, dynamic_bytes_);
  entries_.push_back({key, Allocate(bytes, alignment), bytes});
  return entries_.back().data;
}

bool SharedMemory::Contains(const void* address, size_t bytes) const {
  const char* byte = static_cast<const char*>(address);
  for (const Entry& entry : entries_)
    if (byte >= entry.data && byte + bytes <= entry.data + entry.bytes) return true;
  return false;
}

void* Shared(const void* key, size_t bytes, size_t alignment) {
  return RunningIn("EAQ_SHARED").its_block->shared.Array(key, bytes, alignment);
}

void* DynamicShared() {
  void* data = RunningIn("EAQ_DYNAMIC_SHARED").its_block->shared.dynamic();
  if (data == nullptr) Die("EAQ_DYNAMIC_SHARED in a launch with 0 bytes of it");
  return data;
}

void CountSharedAccess(const void* address, int bytes, Site site) {
  Thread& thread = RunningIn("an access to shared memory");
  Block& block = *thread.its_block;
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    Die("a %d-byte access to shared memory at an address that is no multiple of %d (%s)", bytes, bytes,
        ToString(site).c_str());
  }
  if (!block.shared.Contains(address, bytes)) {
    Die("an access to shared memory outside of it (%s)", ToString(site).c_str());
  }
  const Quiet quiet;
  std::vector<SharedMemory::Access>& open = block.shared.accesses;
  const unsigned bit = 1u << thread.lane;
  for (size_t i = 0; i < open.size(); ++i) {
    SharedMemory::Access& access = open[i];
    if (access.warp != thread.warp || access.lanes & bit || access.bytes != bytes || access.site != site) continue;
    access.addresses[thread.lane] = reinterpret_cast<uintptr_t>(address);
    access.lanes |= bit;
    if (access.lanes == thread.warp->live) {
      Count(block.scheduler->counters, access);
      open.erase(open.begin() + static_cast<int64_t>(i));
    }
    return;
  }
  SharedMemory::Access access = {thread.warp, site, bit, bytes, {}};
  access.addresses[thread.lane] = reinterpret_cast<uintptr_t>(address);
  if (thread.warp->live == bit) return Count(block.scheduler->counters, access);
  open.push_back(access);
}

void CountGlobalAccess16(const void* address) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) Die("a 16-byte access at %p, no multiple of 16", address);
  ++RunningIn("an access to global memory").its_block->scheduler->counters.global_accesses_16;
}

void CountOpenAccesses(Block& block) {
  for (const SharedMemory::Access& access : block.shared.accesses) Count(block.scheduler->counters, access);
  block.shared.accesses.clear();
}

}  // namespace eaq::kernels::emulation

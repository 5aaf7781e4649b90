// The shared memory of a block: one heap array of exact size for each EAQ_SHARED and for the dynamic part, so that
// AddressSanitizer sees the first byte past the end. Without it the arrays lie between guard bytes, and a block that
// changed those is reported when it ends. Filled with 0xff: NaN in any float, -1 in any integer.
#ifndef KERNELS_EMULATION_SHARED_MEMORY_H_
#define KERNELS_EMULATION_SHARED_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

struct Warp;

// The running block's array for KEY (one for each EAQ_SHARED of each template instance), made by the first who asks.
void* Shared(const void* key, size_t bytes, size_t alignment);
void* DynamicShared();

// Counts the bank conflicts of what a warp does together in shared memory: BYTES (4, 8, 16) at ADDRESS, by the calling
// lane. The accesses of one source line belong together, the first of each lane, the second of each lane and so on.
void CountSharedAccess(const void* address, int bytes, Site site);

// Counts an access of 16 bytes to global memory; the address must be a multiple of 16.
void CountGlobalAccess16(const void* address);

// Wavefronts that the given accesses of one instruction take: 32 banks of 4 bytes, equal words served together; of
// 8 bytes half a warp at a time, of 16 bytes a quarter.
int Wavefronts(const uintptr_t (&addresses)[32], unsigned lanes, int bytes);

// Internal.
class SharedMemory {
 public:
  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void Start(size_t dynamic_bytes);
  void Clear();
  void* Array(const void* key, size_t bytes, size_t alignment);
  void* dynamic() const { return dynamic_; }
  bool Contains(const void* address, size_t bytes) const;
  size_t static_bytes() const { return static_bytes_; }
  size_t dynamic_bytes() const { return dynamic_bytes_; }

  struct Access {  // of one warp, by one line, not complete yet
    const Warp* warp;
    Site site;
    unsigned lanes;
    int bytes;
    uintptr_t addresses[32];
  };
  std::vector<Access> accesses;

 private:
  struct Entry {
    const void* key;
    char* data;
    size_t bytes;
  };
  void CheckGuards() const;
  std::vector<Entry> entries_;
  void* dynamic_ = nullptr;
  size_t static_bytes_ = 0, dynamic_bytes_ = 0;
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_SHARED_MEMORY_H_

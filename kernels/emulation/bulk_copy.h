// cp.async.bulk: a run of bytes from global to shared memory, of the own block or of several of the cluster at once,
// counted at an mbarrier of each. Nobody waits for a copy itself: with Options::copies_land_late it lands when no
// thread can run without it, oldest, newest or any first, as the schedule goes; otherwise at once.
//
// Checked: multiples of 16, the bounds of shared memory, the barrier; a block that ends with copies on their way to it.
#ifndef KERNELS_EMULATION_BULK_COPY_H_
#define KERNELS_EMULATION_BULK_COPY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

struct Block;

// blocks: bits of the cluster's ranks, for the same place in each; -1: the own block.
void CopyBulk(void* shared, const void* global, int bytes, uint64_t* barrier, int blocks, Site site);

// Internal: those on their way.
class BulkCopies {
 public:
  struct Copy {
    Block* block;
    void* shared;
    const void* global;
    int bytes;
    const uint64_t* barrier;
    Site site;
  };
  void Add(const Copy& copy);
  // Lands the copy with index PICK modulo their number; false: there is none.
  bool LandOne(uint64_t pick);
  size_t count() const { return copies_.size(); }
  void CheckNoneTo(const Block& block) const;
  static void Land(const Copy& copy);

 private:
  std::vector<Copy> copies_;
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_BULK_COPY_H_

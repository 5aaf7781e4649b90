// cp.async: 16 bytes from global to shared memory, on their way until the thread waits for their group. A GPU may land
// them at any moment from the issue to the wait; Options::copies_land_late picks one of the two ends.
#ifndef KERNELS_EMULATION_ASYNC_COPY_H_
#define KERNELS_EMULATION_ASYNC_COPY_H_

#include <cstddef>
#include <vector>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

// BYTES: 4, 8 or 16; both addresses are multiples of it. valid = false fills zeros and reads nothing.
void CopyAsync(void* shared, const void* global, int bytes, bool valid, Site site);
void CommitCopies();
void WaitCopies(int groups_left);

// Internal: the copies of one thread that it has not waited for.
class CopyQueue {
 public:
  void Add(void* shared, const void* global, int bytes, bool valid, Site site, bool land_now);
  void Commit();
  void Wait(size_t groups_left);
  // A kernel that ends with copies on their way is wrong.
  void CheckAllWaited();

 private:
  struct Copy {
    void* shared;
    const void* global;
    int bytes;
    bool valid, landed;
    Site site;
  };
  static void Land(const Copy& copy);
  std::vector<Copy> copies_;    // of all groups, oldest first
  std::vector<size_t> groups_;  // copies of each committed group
  size_t open_ = 0;             // copies since the last commit
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_ASYNC_COPY_H_

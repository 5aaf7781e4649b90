// mbarrier: a barrier of 8 bytes in shared memory that counts arrivals and bytes. A phase is over when as many arrivals
// have come as InitBarrier said and all announced bytes; the next begins at once. Phases have parities 0, 1, 0, ...
//
// Checked: a barrier that is used before it was initialized, or overwritten since; more arrivals than the phase has
// room for; use by another block, or by a bulk copy, without FenceBarrierInit after InitBarrier; a block that has
// ended. Waits in vain say how many arrivals and bytes are missing. A wait for the wrong parity returns at once, as it
// does on a GPU, and what has not come yet is seen in the results: copies land late.
#ifndef KERNELS_EMULATION_TRANSACTION_BARRIER_H_
#define KERNELS_EMULATION_TRANSACTION_BARRIER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

struct Block;
struct Thread;

void InitBarrier(uint64_t* barrier, int arrivals, Site site);
void FenceBarrierInit();
void ArriveExpect(uint64_t* barrier, int64_t bytes, Site site);
// At the same barrier of block RANK of the cluster; -1: at the own one.
void Arrive(uint64_t* barrier, int rank, Site site);
// Returns when the phase of PARITY is over.
void Wait(uint64_t* barrier, uint32_t parity, Site site);

// Internal.
struct TransactionBarrier {
  unsigned arrivals = 0, missing = 0;  // of a phase; that have not come to the running one
  int64_t bytes = 0;                   // announced and not come yet; less than 0: come before they were announced
  uint32_t parity = 0;                 // of the running phase
  bool fenced = false;
  std::vector<Thread*> waiting;
  char came[2] = {};  // for ThreadSanitizer: what those who arrived in phases of either parity did before
};
using TransactionBarriers = std::map<const uint64_t*, TransactionBarrier>;

// The barrier, checked. other: it is used from another block, or by a copy.
TransactionBarrier& FindBarrier(Block& block, const uint64_t* barrier, bool other, const char* what, Site site);
// BYTES of a copy have come.
void CompleteBytes(TransactionBarrier& barrier, int64_t bytes);
// "mbarrier of parity 1: 3 of 8 arrivals and 2048 bytes missing"
std::string Describe(const TransactionBarrier& barrier);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_TRANSACTION_BARRIER_H_

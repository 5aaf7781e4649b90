// What kernels did, exactly: for tests that compare it with a formula ("every weight is read once", "no bank
// conflicts").
//
//   ResetCounters();
//   ... launch ...
//   EXPECT_EQ(ReadCounters().mma_s8, M / 16 * (N / 8) * (K / 32));
#ifndef KERNELS_EMULATION_COUNTERS_H_
#define KERNELS_EMULATION_COUNTERS_H_

#include <cstdint>

namespace eaq::kernels::emulation {

struct Counters {
  uint64_t launches = 0, blocks = 0, threads = 0;
  uint64_t switches = 0;     // from one CUDA thread to another
  uint64_t collectives = 0;  // operations of a warp: shuffles, votes, __syncwarp, ldmatrix, mma
  uint64_t barriers = 0;     // of a block, counted once for all its threads
  uint64_t mma_bf16 = 0, mma_f16 = 0, mma_s8 = 0, mma_s4 = 0;
  // Shared memory has 32 banks of 4 bytes and serves one wavefront a cycle. ldmatrix.x4 needs at least 4 wavefronts
  // (one per 8 x 8 matrix); 16 mean that four rows of each matrix meet in the same banks. Vector accesses count where
  // they go through ptx::LoadShared / StoreShared: a warp's 4-byte access takes at least 1 wavefront, 8-byte 2, 16-byte
  // 4.
  uint64_t ldmatrix = 0, ldmatrix_wavefronts = 0, ldmatrix_ideal_wavefronts = 0;
  uint64_t shared_accesses = 0, shared_wavefronts = 0, shared_ideal_wavefronts = 0;
  uint64_t copies = 0, copied_bytes = 0;  // cp.async; a copy that only fills zeros counts no bytes
  uint64_t global_accesses_16 = 0;        // through ptx::LoadGlobal16 and its like
  // Of warpgroups: wgmma, and their N; a product is 64 x N x 32 int8. Bulk copies, bytes read (once for all blocks of a
  // cluster that get them) and written to shared memories.
  uint64_t wgmma = 0, wgmma_columns = 0;
  uint64_t bulk_copies = 0, bulk_bytes = 0, bulk_landed_bytes = 0;

  uint64_t BankConflicts() const {
    return ldmatrix_wavefronts - ldmatrix_ideal_wavefronts + shared_wavefronts - shared_ideal_wavefronts;
  }
};

// Sums over all launches of the process since the last reset. Launches add theirs when they end.
Counters ReadCounters();
void ResetCounters();
void AddCounters(const Counters& more);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_COUNTERS_H_

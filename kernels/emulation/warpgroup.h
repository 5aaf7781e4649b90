// wgmma: products of a warpgroup (four warps, the first a multiple of four), A in registers, B in shared memory, that
// finish some time between their issue and the wait for their batch.
//
//   d[64, N] += a[64, 32] b[32, N], int8, int32 sums that wrap. Warp w has rows 16 w ...: A and, for each eight
//   columns, D as in mma.m16n8k32 (matrix.h); d[4 j + i] is element i of columns 8 j .... b: column n is row n of
//   shared memory by the descriptor: start address, stride of eight rows, 128-byte swizzle.
//
// With Options::copies_land_late a product is computed at the wait for it, from what registers and shared memory hold
// then: a register of A or a stage that was filled again too early gives wrong sums. Otherwise at its issue: what has
// not come by then is missing. In either case its sums are poison until the wait.
//
// Checked: WgmmaFence before every batch; the same products of all four warps; whole warps; descriptors (the swizzle,
// the stride, alignment, every row within shared memory); stores that were not fenced (proxy.h); returning before the
// wait.
#ifndef KERNELS_EMULATION_WARPGROUP_H_
#define KERNELS_EMULATION_WARPGROUP_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

struct Block;
struct Warp;

// The 32-bit address of shared memory, as descriptors have it. Its rest modulo 1024 is that of the address in the
// program; dynamic shared memory starts at a multiple of 128 that is none of 1024.
uint32_t SharedAddress(const void* shared);

void WgmmaFence(Site site);
void WgmmaCommit(Site site);
void WgmmaWait(int batches_left, Site site);
// add: otherwise d starts as 0.
void WgmmaS8(int32_t* d, int n, const uint32_t* a, uint64_t b, bool add, Site site);

// Internal: the products of one warp on their way.
struct WgmmaSums {  // one D
  int32_t* registers[32];
  int n = 0;
  std::vector<int32_t> values;  // [lane][n / 2]
  int products = 0;             // on their way
};
struct WgmmaProduct {
  std::list<WgmmaSums>::iterator sums;
  const uint32_t* a[32];
  uint64_t b;
  bool add, computed;
  Site site;
};
struct WgmmaQueue {
  bool fenced = false;
  std::list<WgmmaSums> sums;
  std::vector<WgmmaProduct> products;  // oldest first
  std::vector<size_t> batches;         // products of each committed one
  size_t open = 0;                     // products since the last commit
  size_t issued = 0;                   // in all
};
// What the warps of one warpgroup issued: the first to come writes, the others must do the same.
struct WgmmaIssue {
  uint64_t b;
  int n;
  bool add;
  Site site;
};

// A warp must not return with products on their way, nor a warpgroup with fewer in one warp.
void CheckAllProductsWaited(const Warp& warp);
void CheckSameProducts(const Block& block);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_WARPGROUP_H_

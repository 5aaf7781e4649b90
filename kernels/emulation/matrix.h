// Tensor-core operations of a warp: ldmatrix and mma, with PTX's fragment layouts.
//
// Lane l, g = l / 4, t = l % 4. Fragments of mma.m16n8kK over elements of BITS bits, P = 32 / BITS of them in a
// register (K = 256 / BITS: 16, 32, 64), lowest bits first:
//   A [16, K]  register r holds row g + 8 (r % 2), columns t P + K/2 (r / 2) ... + P - 1
//   B [K, 8]   register r holds column g, rows t P + K/2 r ... + P - 1
//   D [16, 8]  element  i holds row g + 8 (i / 2), column 2 t + i % 2
// (equal to CuTe's MMA_Traits; PTX ISA, "Matrix fragments for mma").
//
// Float products are exact and summed with D in double precision, k ascending, rounded once to float. A tensor core
// sums in another order and cuts off low bits: of each of the 17 terms at most 2^-23 of the largest. A check that must
// hold on both allows (K + K / 16) 2^-23 max |terms and partial sums| over a sum of K products.
// Integer sums wrap modulo 2^32.
#ifndef KERNELS_EMULATION_MATRIX_H_
#define KERNELS_EMULATION_MATRIX_H_

#include <cstdint>

#include "kernels/emulation/site.h"

namespace eaq::kernels::emulation {

// Four 8 x 8 matrices of 16-bit elements: lane 8 i + j gives the address of row j of matrix i, 16 bytes in shared
// memory at a multiple of 16. Lane l gets of matrix i row l / 4, elements 2 (l % 4) and the next; transposed: column l
// / 4.
void LoadMatrix4(uint32_t (&r)[4], const void* row, bool transposed, Site site);
// Two matrices: addresses of lanes 0 to 15 count.
void LoadMatrix2(uint32_t (&r)[2], const void* row, bool transposed, Site site);

void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void MmaS8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void MmaS4(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_MATRIX_H_

// Weights in the order in which the tensor cores of grouped_gemm.h read them. Plain host C++, done once at load.
//
// The file on disk has rows of codes (docs/formats/packed_weights.md); here they become bricks of 16 rows (outputs) x
// 128 columns (inputs), 32 rows where two share a byte, rows and columns padded to whole bricks: [row brick][column
// brick][bytes]. In a brick a warp's lanes find their fragments of the A operand of mma one beside the other, 16 bytes
// for each lane (8 in the plane of one bit), so weights need neither ldmatrix nor swizzling, and reading them never
// meets a bank conflict.
//
// Fragments (PTX ISA, "Matrix fragments for mma.m16n8k32" and "... m16n8k16"). Lane 4 g + t holds registers a0 .. a3 of
// rows g, g + 8, g, g + 8:
//   kInt8, kInt4, m16n8k32: a0, a1 columns 4t .. 4t + 3; a2, a3 columns 16 + 4t .. 16 + 4t + 3; one byte each
//   kBf16, m16n8k16: a0, a1 columns 2t, 2t + 1; a2, a3 columns 8 + 2t, 8 + 2t + 1; two bytes each
//
// A brick is 4 products of k32, or 8 of k16. A lane's words hold registers of several products m:
//   kInt8, 8 bits: [product][lane][4 words]; word i of product m is a_i
//   kInt8, 4 bits: bricks of 32 rows; [product][lane][4 words]; word i of product m: byte j of a_i at bit 8j, that of
//     the row 16 further down at bit 8j + 4
//   kInt4, 4 bits: [half brick][lane][4 words]; word i: byte j of a_i of product 2h + c at bit 8j + 4c, which is
//     register a_i of m16n8k64, with columns in the order of quantize_rows.h's pack4
//   kBf16: word i holds register a_i, so that a shift and a mask give it back for product m:
//     plane of 4 bits: [half brick][lane][4 words]; half p of product 4h + c at bit 16p + 4c
//     plane of 2 bits: [lane][4 words]; half p of product m at bit 16p + 2m
//     plane of 1 bit: [lane][2 words]; registers 2w, 2w + 1 in word w; half p of product m at bit 16p + 8 (i % 2) + m
//     planes of a width: 6 = 4 + 2, 4 = 4, 3 = 2 + 1, 2 = 2; the first holds the low bits of a code
// kInt8 and kInt4 store code - 2^(bits-1) in two's complement, but the upper 16 rows of a brick of 32 the code itself;
// so does kBf16 (which becomes 128 + code in a bfloat16 by one OR). (The idea of fragment order: IST-DASLab/marlin.)
#ifndef KERNELS_CUDA_PACK_WEIGHTS_H_
#define KERNELS_CUDA_PACK_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "kernels/cuda/grouped_gemm.h"

namespace eaq::kernels::cuda {

enum class MmaOrder { kInt8, kInt4, kBf16 };
// In which FORMAT reads its weights.
MmaOrder OrderOf(GemmFormat format);

// Bricks of [rows, cols]; bits: kInt8 4 or 8, kInt4 4, kBf16 2, 3, 4 or 6.
int64_t FragmentBytes(int64_t rows, int64_t cols, int bits, MmaOrder order);

// codes[rows, cols], one a byte, into packed[FragmentBytes]. What pads stands for the stored value 0.
void PackFragments(const uint8_t* codes, int64_t rows, int64_t cols, int bits, MmaOrder order, uint8_t* packed);
// The inverse.
void UnpackFragments(const uint8_t* packed, int64_t rows, int64_t cols, int bits, MmaOrder order, uint8_t* codes);

// A quantized linear, a code a byte, as eaq/quant/quantized_matrix.h has it. Weight = scale * (code - zero).
struct CanonicalWeights {
  int64_t rows = 0;  // outputs
  int64_t cols = 0;  // inputs
  int bits = 4;
  int64_t group = 0;             // 128, 64 or 32 columns a grid, or 0: one grid for a row
  std::vector<uint8_t> codes;    // [rows, cols]
  std::vector<uint16_t> scales;  // [rows, groups] float16 bits
  std::vector<uint8_t> zeros;    // [rows, groups], or empty: symmetric, 2^(bits-1) everywhere
  int64_t groups() const { return group == 0 ? 1 : (cols + group - 1) / group; }
};

// What a kernel reads of one linear. R = rows padded to 16, G = groups().
struct FragmentWeights {
  std::vector<uint8_t> codes;      // bricks
  std::vector<uint16_t> scales;    // [G, R] float16 bits, 0 where rows are padded
  std::vector<uint8_t> zeros;      // [G, R], or empty: symmetric
  std::vector<float> column_sums;  // [R]: sum over groups of scale * sum of (code - zero); one grid a row: without the
                                   // scale, an exact integer. What an activation's zero point multiplies.
};

FragmentWeights PackWeights(const CanonicalWeights& weights, MmaOrder order);

// Gate and up as one linear whose bricks hold 8 rows of either: row 16 i + r is gate's row 8 i + r for r < 8, up's row
// 8 i + r - 8 otherwise, so that a lane has gate and up of one output in its registers (d0, d1 and d2, d3 of mma). Both
// have the same shape, bits and group; rows padded to 8 by weights 0.
CanonicalWeights InterleaveGateUp(const CanonicalWeights& gate, const CanonicalWeights& up);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_PACK_WEIGHTS_H_

// DuQuant's mathematics: the greedy block rotation and the zigzag permutation (Lin et al., 2024; specs/eaquant.md 1.6).
//
//   Rng rng(seed, "duquant/L3.e7.gate/1");
//   const GreedyRotation r = FindRotation(x, {.block = 128}, rng);   // x[tokens, width]
//   RotateBlocks(r.rotation, x);
//   const std::vector<int32_t> order = ZigzagOrder(x, 128);          // x'[j] = x[order[j]]
//
// One rotation R[b, b] serves all width / b blocks. It is a product of steps S(e) Rbase S(e), S(e) swapping channels 0
// and e: with the outlier in front, Rbase's first row spreads it over the block. Each step takes the entry that is
// largest then; the product with the smallest range of all is kept.
#ifndef EAQ_METHODS_DUQUANT_ROTATION_H_
#define EAQ_METHODS_DUQUANT_ROTATION_H_

#include <cstdint>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/tensor/matrix.h"

namespace eaq::duquant {

// The largest power of two that is at most LIMIT and divides WIDTH.
int64_t BlockFor(int64_t width, int64_t limit);

// B[n, n], orthogonal, row 0 = 1/sqrt(n) everywhere: the Helmert matrix with rows 0 and n-1 and columns 0 and n-1
// swapped. Float64, row-major.
std::vector<double> HelmertBase(int64_t n);

// Q of the QR decomposition of an [n, n] matrix of standard normals drawn from RNG in row-major order, by Householder
// reflections, signs as they come.
std::vector<double> RandomOrthogonal(int64_t n, Rng& rng);

// B diag(1, Q), Q random of order n - 1. Only entry (0, 0) of the uniform row stays; the rest of it is random, of the
// same norm.
std::vector<double> RandomBase(int64_t n, Rng& rng);

enum class Pick {
  kChannel,  // e = the channel of the extreme entry (paper)
  kRow,      // e = its row modulo b, rows counting tokens x blocks (released code)
};

struct RotationOptions {
  int64_t block = 128;  // b, divides the width
  int steps = 256;
  Pick pick = Pick::kChannel;
};

struct GreedyRotation {
  Matrix rotation;    // [b, b], orthogonal up to float32's rounding; the unit matrix when no product was better
  int steps = 0;      // factors in it
  double before = 0;  // max - min of x
  double after = 0;   // max - min of x with every block times the product, while it was searched
};

// X[tokens, width] must be finite. Steps run in float32 (as GEMMs); the product is made orthogonal again in float64.
// Without rows: the first step alone, since a random rotation is better than none.
GreedyRotation FindRotation(const Matrix& x, const RotationOptions& options, Rng& rng);

// x <- x R in every block.
void RotateBlocks(const Matrix& rotation, Matrix& x);

// Channels sorted by their largest magnitude, falling, ties in channel order, dealt to the width / b blocks like cards
// to and fro (0, 1, .., K-1, K-1, .., 0, 0, ..), falling inside a block. result[new position] = channel.
std::vector<int32_t> ZigzagOrder(const Matrix& x, int64_t block);

}  // namespace eaq::duquant

#endif  // EAQ_METHODS_DUQUANT_ROTATION_H_

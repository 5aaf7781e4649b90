#include "kernels/cuda/pack_weights.h"

#include <algorithm>

#include "kernels/cuda/half.h"
#include "kernels/cuda/quantize_rows.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Where a code of a brick goes: lane, register a_i, product m, and the element of the register (byte or half), of the
// first 16 rows or the next.
struct Place {
  int lane, reg, product, element, tile;
};

Place PlaceOf(int row, int column, MmaOrder order) {
  const int depth = order == MmaOrder::kBf16 ? 16 : 32;  // columns of a product
  const int width = depth / 8;                           // elements of a register
  const int in_product = column % depth, half = in_product / (depth / 2), rest = in_product % (depth / 2);
  return {row % 8 * 4 + rest / width, row % 16 / 8 + 2 * half, column / depth, rest % width, row / 16};
}

bool Paired(int bits, MmaOrder order) { return order == MmaOrder::kInt8 && bits == 4; }

// Of a brick of codes. Scales and zero points are padded to 16 rows always.
int64_t BrickRows(int bits, MmaOrder order) { return Paired(bits, order) ? 32 : 16; }

// What a row's codes are stored less.
int MiddleOf(int64_t row, int bits, MmaOrder order) {
  return order == MmaOrder::kBf16 || (Paired(bits, order) && row % 32 < 16) ? 0 : 1 << (bits - 1);
}

// The bit of a brick's plane where a code of BITS bits starts; planes are counted in bits from their first byte.
int64_t BitOf(const Place& p, int bits, MmaOrder order) {
  const int spacing = order == MmaOrder::kBf16 ? 16 : 8;  // of elements, in bits
  if (bits == 1) {
    const int64_t word = p.lane * 2 + p.reg / 2;
    return word * 32 + p.element * spacing + p.reg % 2 * 8 + p.product;
  }
  if (Paired(bits, order)) {
    const int64_t word = (p.product * 32 + p.lane) * 4 + p.reg;
    return word * 32 + p.element * spacing + p.tile * 4;
  }
  const int per_word = spacing / bits;  // products that share a word
  const int64_t word = (p.product / per_word * 32 + p.lane) * 4 + p.reg;
  return word * 32 + p.element * spacing + p.product % per_word * bits;
}

struct Plane {
  int bits, shift;  // of a code: (code >> shift) & (2^bits - 1)
  int64_t offset;   // bytes from the brick's start
};

std::vector<Plane> PlanesOf(int bits) {
  switch (bits) {
    case 6:
      return {{4, 0, 0}, {2, 4, 1024}};
    case 3:
      return {{2, 0, 0}, {1, 2, 512}};
    default:
      return {{bits, 0, 0}};
  }
}

// Calls visit(row, column, plane, byte address, shift in the byte) for every code of every plane, padding included.
template <typename Visit>
void ForEachCode(int64_t rows, int64_t cols, int bits, MmaOrder order, Visit visit) {
  const std::vector<Plane> planes = PlanesOf(bits);
  const int64_t brick_rows = BrickRows(bits, order);
  const int64_t brick_bytes = brick_rows * 16 * bits, bricks = PaddedColumns(cols) / kBrickColumns;
  for (int64_t row = 0; row < RoundUp(rows, brick_rows); ++row) {
    for (int64_t column = 0; column < PaddedColumns(cols); ++column) {
      const Place place = PlaceOf(static_cast<int>(row % brick_rows), static_cast<int>(column % kBrickColumns), order);
      const int64_t brick = (row / brick_rows * bricks + column / kBrickColumns) * brick_bytes;
      for (const Plane& plane : planes) {
        const int64_t bit = BitOf(place, plane.bits, order);
        visit(row, column, plane, brick + plane.offset + bit / 8, static_cast<int>(bit % 8));
      }
    }
  }
}

}  // namespace

MmaOrder OrderOf(GemmFormat format) {
  if (!IsInteger(format)) return MmaOrder::kBf16;
  return format == GemmFormat::kW4A4 ? MmaOrder::kInt4 : MmaOrder::kInt8;
}

int64_t FragmentBytes(int64_t rows, int64_t cols, int bits, MmaOrder order) {
  return RoundUp(rows, BrickRows(bits, order)) * PaddedColumns(cols) * bits / 8;
}

void PackFragments(const uint8_t* codes, int64_t rows, int64_t cols, int bits, MmaOrder order, uint8_t* packed) {
  std::fill_n(packed, FragmentBytes(rows, cols, bits, order), uint8_t{0});
  ForEachCode(rows, cols, bits, order, [&](int64_t row, int64_t column, const Plane& plane, int64_t byte, int shift) {
    if (row >= rows || column >= cols) return;
    const int stored =
        (codes[row * cols + column] - MiddleOf(row, bits, order)) >> plane.shift & ((1 << plane.bits) - 1);
    packed[byte] = static_cast<uint8_t>(packed[byte] | stored << shift);
  });
}

void UnpackFragments(const uint8_t* packed, int64_t rows, int64_t cols, int bits, MmaOrder order, uint8_t* codes) {
  std::fill_n(codes, rows * cols, uint8_t{0});
  ForEachCode(rows, cols, bits, order, [&](int64_t row, int64_t column, const Plane& plane, int64_t byte, int shift) {
    if (row >= rows || column >= cols) return;
    uint8_t& code = codes[row * cols + column];
    code = static_cast<uint8_t>(code | (packed[byte] >> shift & ((1 << plane.bits) - 1)) << plane.shift);
  });
  // Two's complement and back: adding 2^(bits-1) modulo 2^bits flips the top bit.
  for (int64_t i = 0; i < rows * cols; ++i) codes[i] = static_cast<uint8_t>(codes[i] ^ MiddleOf(i / cols, bits, order));
}

FragmentWeights PackWeights(const CanonicalWeights& w, MmaOrder order) {
  const int64_t padded = RoundUp(w.rows, 16), groups = w.groups();
  FragmentWeights packed;
  packed.codes.resize(FragmentBytes(w.rows, w.cols, w.bits, order));
  PackFragments(w.codes.data(), w.rows, w.cols, w.bits, order, packed.codes.data());
  packed.scales.assign(groups * padded, 0);
  if (!w.zeros.empty()) packed.zeros.assign(groups * padded, 0);
  packed.column_sums.assign(padded, 0.0f);
  for (int64_t row = 0; row < w.rows; ++row) {
    double scaled = 0;
    for (int64_t g = 0; g < groups; ++g) {
      const uint16_t scale = w.scales[row * groups + g];
      const int zero = w.zeros.empty() ? 1 << (w.bits - 1) : w.zeros[row * groups + g];
      packed.scales[g * padded + row] = scale;
      if (!w.zeros.empty()) packed.zeros[g * padded + row] = static_cast<uint8_t>(zero);
      const int64_t first = g * w.group, last = w.group == 0 ? w.cols : std::min(w.cols, first + w.group);
      int64_t sum = 0;
      for (int64_t column = first; column < last; ++column) sum += w.codes[row * w.cols + column] - zero;
      scaled += static_cast<double>(sum) * (w.group == 0 ? 1.0 : static_cast<double>(ToFloat(Half{scale})));
    }
    packed.column_sums[row] = static_cast<float>(scaled);
  }
  return packed;
}

CanonicalWeights InterleaveGateUp(const CanonicalWeights& gate, const CanonicalWeights& up) {
  CanonicalWeights both = gate;
  const int64_t groups = gate.groups(), rows = RoundUp(gate.rows, 8);
  both.rows = 2 * rows;
  // A padded row: codes 0, zero point 0, scale 0. A symmetric grid has no zero points; the scale 0 alone makes it 0.
  both.codes.assign(both.rows * gate.cols, 0);
  both.scales.assign(both.rows * groups, 0);
  if (!gate.zeros.empty()) both.zeros.assign(both.rows * groups, 0);
  for (int64_t row = 0; row < gate.rows; ++row) {
    for (const CanonicalWeights* from : {&gate, &up}) {
      const int64_t to = row / 8 * 16 + row % 8 + (from == &up ? 8 : 0);
      std::copy_n(from->codes.begin() + row * gate.cols, gate.cols, both.codes.begin() + to * gate.cols);
      std::copy_n(from->scales.begin() + row * groups, groups, both.scales.begin() + to * groups);
      if (!gate.zeros.empty())
        std::copy_n(from->zeros.begin() + row * groups, groups, both.zeros.begin() + to * groups);
    }
  }
  return both;
}

}  // namespace eaq::kernels::cuda

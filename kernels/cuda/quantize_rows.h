// The inputs of the quantized GEMMs: rows gathered, divided by smoothing factors, rounded to codes.
#ifndef KERNELS_CUDA_QUANTIZE_ROWS_H_
#define KERNELS_CUDA_QUANTIZE_ROWS_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// Columns are padded with zeros to a multiple of this, the bricks of pack_weights.h.
inline constexpr int64_t kBrickColumns = 128;

inline constexpr int64_t PaddedColumns(int64_t cols) {
  return (cols + kBrickColumns - 1) / kBrickColumns * kBrickColumns;
}

// The kinds of eaq/quant/grid.h.
enum class RowGrid : int { kAsymmetric, kSymmetricFullRange, kSymmetricRestricted };

// Where rows come from: row i of the result is row gather[i] / gather_divisor of x, divided by `divisors` elementwise.
struct RowSource {
  const float* x = nullptr;
  int64_t ldx = 0;   // floats from row to row
  int64_t rows = 0;  // of the result
  int64_t cols = 0;
  const int32_t* gather = nullptr;  // [rows], or null: row i itself. A negative entry gives a row of zeros.
  int32_t gather_divisor = 1;       // k, where gather is SortedTokens::pair_of_slot
  const float* divisors = nullptr;  // [cols], or null
};

struct RowQuantizer {
  int bits = 8;  // 2 .. 8
  RowGrid grid = RowGrid::kAsymmetric;
  float clip_ratio = 1.0f;
  bool per_group = false;  // a grid for each 128 columns of a row; otherwise one for the row
  bool fixed = false;      // one grid for everything: fixed_scale, fixed_zero (0 .. 2^bits - 1); no group
  float fixed_scale = 1.0f;
  int fixed_zero = 0;
  bool pack4 = false;     // two codes a byte (bits at most 4)
  int sums_of_brick = 1;  // sums of codes for each 128 columns: 1, 2 or 4
};

// Codes around 0: code = clamp(rint(x / s) + z, 0, 2^bits - 1) - 2^(bits-1); a value is s * (code - zero),
// zero = z - 2^(bits-1). s and z are those of eaq/quant/activation_quant.h, to the bit (true division, half to even).
//   codes   [rows, P] int8, P = PaddedColumns(cols), padded with 0. pack4: [rows, P / 2]; byte b of 64 columns holds
//           column b in its low and column 32 + b in its high nibble, two's complement (the order in which the tensor
//           cores meet them, pack_weights.h)
//   scales  [rows, G] float, zeros [rows, G] int32; G = 1, or P / 128 per group
//   sums    [rows, S + 1] int32, S = P / 128 * sums_of_brick: sum of the codes of every 128 (64, 32) columns, and of
//           the whole row. May be null.
// A row with NaN or an infinity gets the scale NaN, so that every product with it is NaN: the fake-quantized row has
// NaN in it, too. A row is read once, into registers, up to 14336 columns; what lies beyond is read a second time.
// Limits: bits 2 .. 8 (pack4: 4 at most); sums_of_brick 1, 2, 4; codes aligned to 4 bytes. Returns 0, a CUDA error, or
// 1 (cudaErrorInvalidValue).
int QuantizeRows(const RowSource& source, const RowQuantizer& quantizer, int8_t* codes, float* scales, int32_t* zeros,
                 int32_t* sums, void* stream);

// The same without rounding to codes: y[terms, rows, P] bfloat16 (bits), padded with 0. Term t is what is left of a
// number after the terms before it, rounded to nearest: 1 .. 3 terms hold 8, 16 or all 24 bits of a float32. (A number
// that is not finite leaves NaN.)
int GatherRowsBf16(const RowSource& source, int terms, uint16_t* y, void* stream);

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_QUANTIZE_ROWS_H_

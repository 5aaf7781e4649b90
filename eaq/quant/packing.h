// Packed weights: codes as a dense stream of bits, those of 6 bits as a plane of 4 and a plane of 2, scales as float16,
// zeros as integers of `bits` bits (docs/formats/packed_weights.md). Unpacking gives back the QuantizedMatrix exactly,
// hence the same weights.
//
//   EAQ_ASSIGN_OR_RETURN(PackedMatrix p, Pack(q));
//   p.size().total_bytes();
//   EAQ_ASSIGN_OR_RETURN(QuantizedMatrix same, Unpack(p));     // same == q
#ifndef EAQ_QUANT_PACKING_H_
#define EAQ_QUANT_PACKING_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// Bytes of one packed linear.
struct SizeAccount {
  int64_t weights = 0;            // number of weights
  int64_t code_bytes = 0;         // rows * PackedRowBytes
  int64_t scale_bytes = 0;        // 2 per grid
  int64_t zero_bytes = 0;         // ceil(grids * bits / 8); none for symmetric kinds
  int64_t group_index_bytes = 0;  // 2 per column where group_of_column is stored
  int64_t group_width_bytes = 0;  // 1 per group of a row where group_bits are stored
  int64_t online_bytes = 0;       // of an online transform (model/online.h): R, permutation, divisors
  int64_t cache_bytes = 0;        // of rows kept in float16 (row_cache.h): these, their numbers, the pool of patches

  int64_t total_bytes() const {
    return code_bytes + scale_bytes + zero_bytes + group_index_bytes + group_width_bytes + online_bytes + cache_bytes;
  }
  double bits_per_weight() const { return weights == 0 ? 0 : 8.0 * total_bytes() / weights; }
  friend bool operator==(const SizeAccount&, const SizeAccount&) = default;
};

// Bytes of the codes of one row: ceil(cols * bits / 8); of 6 bits ceil(cols / 2) + ceil(cols / 4).
int64_t PackedRowBytes(int64_t cols, int bits);

// What a linear of this shape will need, before anything is solved (allocators and plans use it). GROUP_BITS as in
// QuantizedMatrix.
SizeAccount PackedSize(const GridSpec& spec, int64_t rows, int64_t cols, bool has_group_index = false,
                       absl::Span<const uint8_t> group_bits = {});

struct PackedMatrix {
  GridSpec grid;
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<uint8_t> codes;         // [rows, PackedRowBytes], lowest bits first, rows start on a byte
  std::vector<uint16_t> scales;       // float16, [grids]
  std::vector<uint8_t> zeros;         // [ceil(grids * bits / 8)], lowest bits first; empty for symmetric kinds
  std::vector<uint16_t> group_index;  // [cols] or empty
  // [groups] or empty: the width of every group of a row. The codes of a row are then one stream of codes of these
  // widths, the zeros likewise; binary groups have none.
  std::vector<uint8_t> group_bits;

  SizeAccount size() const;  // counted from the vectors above
  friend bool operator==(const PackedMatrix&, const PackedMatrix&) = default;
};

// Codes of 6 bits that lie as one stream, as files of versions 1 and 2 have them, become planes. Anything else is left
// alone, for ValidatePacked to judge.
void RepackStream(PackedMatrix& p);

// InvalidArgument: `q` is not valid, or a scale is not a float16 value.
absl::StatusOr<PackedMatrix> Pack(const QuantizedMatrix& q);
// InvalidArgument: sizes disagree, a scale is 0 or not finite, a group index or width is out of range.
absl::StatusOr<QuantizedMatrix> Unpack(const PackedMatrix& p);
// Straight to weights w[rows, cols], the same bits as Dequantize(Unpack(p)). `p` must have been checked once by
// ValidatePacked.
absl::Status ValidatePacked(const PackedMatrix& p);
void UnpackWeights(const PackedMatrix& p, MatrixView w);

}  // namespace eaq

#endif  // EAQ_QUANT_PACKING_H_

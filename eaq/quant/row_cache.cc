#include "eaq/quant/row_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/tensor/f16.h"

namespace eaq {
namespace {

int64_t PoolBytes(const GridSpec& grid, int64_t rows, int64_t cols) {
  return PackedSize(WithBits(grid, 8), rows, cols).total_bytes();
}

Matrix Values(const RowCache& cache) {
  Matrix values(cache.rows.size(), cache.cols);
  for (int64_t i = 0; i < values.size(); ++i) values.data()[i] = F16ToFloat(cache.values[i]);
  return values;
}

absl::StatusOr<QuantizedMatrix> Patch(const RowCache& cache, int bits) {
  return QuantizeNearest(Values(cache).const_view(), WithBits(cache.grid, bits));
}

absl::Status CheckBits(const RowCache& cache, int bits) {
  if (bits == kAsRounded || bits == kFloat16 || (cache.pool && bits >= 2 && bits <= 8)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("cached rows at ", bits, " bits; expected ", kAsRounded, ", ",
                                                 cache.pool ? "2 .. 8, " : "", kFloat16,
                                                 cache.pool ? "" : " without a pool of patches"));
}

}  // namespace

int64_t RowCacheBytes(const GridSpec& grid, int64_t rows, int64_t out, int64_t cols, bool pool) {
  if (rows == 0) return 0;
  return 2 * rows * cols + (out > 65536 ? 4 : 2) * rows + (pool ? PoolBytes(grid, rows, cols) : 0);
}

int64_t RowCacheBytes(const RowCache& cache) {
  return RowCacheBytes(cache.grid, cache.rows.size(), cache.out, cache.cols, cache.pool);
}

absl::StatusOr<RowCache> MakeRowCache(ConstMatrixView weight, std::vector<int32_t> rows, const GridSpec& grid,
                                      bool pool) {
  RowCache cache;
  cache.grid = WithBits(grid, 8);
  cache.out = weight.rows;
  cache.cols = weight.cols;
  cache.rows = std::move(rows);
  cache.pool = pool;
  for (const int32_t r : cache.rows) {
    if (r < 0 || r >= weight.rows) continue;  // ValidateRowCache names it
    for (int64_t c = 0; c < weight.cols; ++c) cache.values.push_back(FloatToF16(weight(r, c)));
  }
  EAQ_RETURN_IF_ERROR(ValidateRowCache(cache));
  return cache;
}

absl::Status ValidateRowCache(const RowCache& cache) {
  EAQ_RETURN_IF_ERROR(ValidateGrid(WithBits(cache.grid, 8)));
  if (cache.rows.empty()) return absl::InvalidArgumentError("a cache of no rows; expected at least one");
  for (size_t i = 0; i < cache.rows.size(); ++i) {
    const int32_t before = i == 0 ? -1 : cache.rows[i - 1];
    if (cache.rows[i] > before && cache.rows[i] < cache.out) continue;
    return absl::InvalidArgumentError(absl::StrCat("cached row ", cache.rows[i], " after ", before, " of ", cache.out,
                                                   "; expected rising numbers of rows that are there"));
  }
  if (static_cast<int64_t>(cache.values.size()) != static_cast<int64_t>(cache.rows.size()) * cache.cols) {
    return absl::InvalidArgumentError(absl::StrCat("cached rows: ", cache.values.size(), " numbers; expected ",
                                                   cache.rows.size(), " rows of ", cache.cols));
  }
  for (const uint16_t value : cache.values) {
    if (std::isfinite(F16ToFloat(value))) continue;
    return absl::InvalidArgumentError("cached rows: a weight is not finite in float16; expected at most 65504");
  }
  EAQ_RETURN_IF_ERROR(CheckBits(cache, cache.bits));
  for (const int bits : cache.bits_of_set) EAQ_RETURN_IF_ERROR(CheckBits(cache, bits));
  return absl::OkStatus();
}

absl::Status ApplyPatch(const RowCache& cache, int bits, MatrixView w) {
  EAQ_RETURN_IF_ERROR(CheckBits(cache, bits));
  if (bits == kAsRounded) return absl::OkStatus();
  Matrix values;
  if (bits == kFloat16) {
    values = Values(cache);
  } else {
    EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix patch, Patch(cache, bits));
    values = Dequantize(patch);
  }
  for (size_t i = 0; i < cache.rows.size(); ++i) {
    std::memcpy(w.row(cache.rows[i]), values.row(i), cache.cols * sizeof(float));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> PatchPool(const RowCache& cache) {
  std::vector<uint8_t> pool;
  if (!cache.pool) return pool;
  if (cache.bits >= 2 && cache.bits <= 8) {
    EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix patch, Patch(cache, cache.bits));
    EAQ_ASSIGN_OR_RETURN(const PackedMatrix packed, Pack(patch));
    pool = packed.codes;
    const auto* scales = reinterpret_cast<const uint8_t*>(packed.scales.data());
    pool.insert(pool.end(), scales, scales + 2 * packed.scales.size());
    pool.insert(pool.end(), packed.zeros.begin(), packed.zeros.end());
  }
  pool.resize(PoolBytes(cache.grid, cache.rows.size(), cache.cols));  // a patch of fewer bits is smaller
  return pool;
}

}  // namespace eaq

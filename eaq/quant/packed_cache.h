// Rows kept in float16 inside the file of packed weights (docs/formats/packed_weights.md): how packed_file.h stores
// them.
#ifndef EAQ_QUANT_PACKED_CACHE_H_
#define EAQ_QUANT_PACKED_CACHE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/checkpoint/safetensors.h"
#include "eaq/checkpoint/safetensors_writer.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/row_cache.h"

namespace eaq {

// "BITS POOL W0 W1 ...": the width in place, 1 or 0 for a pool, the width that each data set asks for.
std::string DescribeCache(const RowCache& cache);

// Adds NAME.cache_rows, NAME.cache and, with a pool, NAME.patches. InvalidArgument: CACHE is not valid.
absl::Status AddCache(const std::string& name, const RowCache& cache, SafetensorsWriter* writer);

// The cache of the linear NAME, which is WEIGHT; USED grows by the tensors read. InvalidArgument: anything that does
// not fit, a pool among it that does not hold the rows at the width in place.
absl::StatusOr<RowCache> ReadCache(const SafetensorsFile& file, const std::string& name, absl::string_view description,
                                   const PackedMatrix& weight, int64_t* used);

}  // namespace eaq

#endif  // EAQ_QUANT_PACKED_CACHE_H_

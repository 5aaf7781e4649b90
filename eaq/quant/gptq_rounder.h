// GPTQ with its columns rounded, and its grids found, elsewhere: on a device (eaq/device/device_gptq.h).
#ifndef EAQ_QUANT_GPTQ_ROUNDER_H_
#define EAQ_QUANT_GPTQ_ROUNDER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/quant/gptq.h"

namespace eaq {

// What is left of a solve when order, factor and grids are found.
struct GptqColumns {
  ConstMatrixView weights;             // [rows, cols], columns in their own order
  GridSpec grid;                       // no groups found on the way, no widths by group, not binary
  absl::Span<const GridParams> grids;  // [rows, groups], or [1] for kTensor
  absl::Span<const int32_t> order;     // [cols]: the column at each position
  absl::Span<const double> u;          // [cols, cols] row-major, by position: U^T U = H^-1
};

// The codes [rows, cols], columns in their own order: position after position to the nearest code, each error fed to
// the positions after it (gptq.h).
using GptqRounder = std::function<absl::StatusOr<std::vector<uint8_t>>(const GptqColumns& columns)>;

// As QuantizeNearest: what rounding to nearest gives, and grids that are known before the first column.
using NearestRounder =
    std::function<absl::StatusOr<QuantizedMatrix>(ConstMatrixView w, const GridSpec& spec, const ClipSearchSpec* clip)>;

// GptqSolve with ROUND in place of its own loop, and NEAREST, unless null, in place of QuantizeNearest. Unimplemented,
// before any work, for what GptqColumns cannot say. Grids of a salient search are found here.
absl::StatusOr<GptqResult> GptqSolve(ConstMatrixView w, const Hessian& hessian, const GridSpec& spec,
                                     const GptqOptions& options, const GptqRounder& round,
                                     const NearestRounder& nearest = nullptr);

}  // namespace eaq

#endif  // EAQ_QUANT_GPTQ_ROUNDER_H_

// Rounding weights to nearest on a device (kernels/cuda/weight_quant.h): grids by their range, a fixed or searched part
// of it, and codes on grids.
//
// What differs from the CPU: where two candidates of a search have errors within 4e-6 of each other, the other grid may
// be chosen. All else is the CPU's to the bit.
#ifndef EAQ_DEVICE_DEVICE_NEAREST_H_
#define EAQ_DEVICE_DEVICE_NEAREST_H_

#include <vector>

#include "absl/status/statusor.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/quant/quantized_matrix.h"
#include "eaq/tensor/matrix.h"
#include "kernels/backend.h"

namespace eaq {

// Whether the kernels can find these grids. They cannot: of binary weights; of more than 65535 groups a row; of what
// is no valid input, which the CPU has words for (and of weights beyond some of whose grids, not all, float16 ends).
bool KernelsFindGrids(ConstMatrixView w, const GridSpec& spec, const GridRange& range);

// As QuantizeOps::Nearest, of what KernelsFindGrids. Internal: the device's words, such as memory that it has not.
absl::StatusOr<QuantizedMatrix> DeviceNearest(kernels::Backend& backend, ConstMatrixView w, const GridSpec& spec,
                                              const GridRange& range);

// Whether the kernels can round on them: as many grids as the matrix has, of integer zeros and finite scales.
bool KernelsRound(ConstMatrixView w, const GridSpec& spec, const std::vector<GridParams>& grids);

// As QuantizeOnGrids, of what KernelsRound.
absl::StatusOr<QuantizedMatrix> DeviceOnGrids(kernels::Backend& backend, ConstMatrixView w, const GridSpec& spec,
                                              std::vector<GridParams> grids);

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_NEAREST_H_

#include "eaq/device/device_nearest.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/device/copy_rows.h"
#include "kernels/cuda/weight_quant.h"
#include "kernels/device/arena.h"

namespace eaq {
namespace {

using kernels::cuda::GridSearch;
using kernels::cuda::WeightGrid;
using kernels::cuda::WeightGridKind;

constexpr int64_t kMostGroups = 65535;       // of a row: the launch's second dimension
constexpr int64_t kMostBlocks = 0x7fffffff;  // its first

WeightGridKind KernelKind(GridKind kind) {
  switch (kind) {
    case GridKind::kSymmetricFullRange:
      return WeightGridKind::kSymmetricFullRange;
    case GridKind::kSymmetricRestricted:
      return WeightGridKind::kSymmetricRestricted;
    default:
      return WeightGridKind::kAsymmetric;
  }
}

GridSearch KernelSearch(const GridRange& range) {
  GridSearch search;
  if (range.clip) {
    search.way = GridSearch::Way::kClip;
    search.power24 = range.clip->norm == ClipNorm::kL24;
    search.steps = range.clip->steps;
    search.max_shrink = range.clip->max_shrink;
  }
  if (range.ratio) {
    search.way = range.ratio->search_from ? GridSearch::Way::kRatio : GridSearch::Way::kFixed;
    search.first = range.ratio->search_from.value_or(range.ratio->fixed);
    search.zero_in_range = range.ratio->zero_in_range;
  }
  return search;
}

// How the kernels see the matrix: one row where all of it has one grid.
struct Shape {
  int64_t rows, cols, group, grids;
};
Shape ShapeOf(ConstMatrixView w, const GridSpec& spec) {
  if (spec.granularity == Granularity::kTensor) return {1, w.rows * w.cols, w.rows * w.cols, 1};
  return {w.rows, w.cols, spec.granularity == Granularity::kGroup ? spec.group_size : w.cols,
          spec.GridCount(w.rows, w.cols)};
}

bool KernelsTake(ConstMatrixView w, const GridSpec& spec) {
  if (!ValidateGrid(spec).ok() || spec.kind == GridKind::kBinary || w.rows < 1 || w.cols < 1) return false;
  if (spec.GroupsPerRow(w.cols) > kMostGroups || w.rows * w.cols / 128 >= kMostBlocks) return false;
  for (int64_t r = 0; r < w.rows; ++r) {
    if (!AllFinite(w.row_span(r))) return false;
  }
  return true;
}

// The codes of W, whose grids are GRIDS unless SEARCH finds them.
absl::StatusOr<QuantizedMatrix> Run(kernels::Backend& backend, ConstMatrixView w, const GridSpec& spec,
                                    const GridSearch* search, std::vector<GridParams> grids) {
  const Shape shape = ShapeOf(w, spec);
  QuantizedMatrix q;
  q.grid = spec;
  q.rows = w.rows;
  q.cols = w.cols;
  q.codes.resize(w.rows * w.cols);
  q.params = std::move(grids);

  kernels::Device& device = *backend.device();
  float* d_w = nullptr;
  WeightGrid* d_grids = nullptr;
  uint8_t* d_codes = nullptr;
  kernels::Arena arena;
  EAQ_RETURN_IF_ERROR(AsStatus(arena.CreateFor(&device, "rounding to nearest", device.checked(), [&](auto take) {
    take(d_w, "weights", w.rows * w.cols);
    take(d_grids, "grids", shape.grids);
    take(d_codes, "codes", w.rows * w.cols);
  })));
  EAQ_RETURN_IF_ERROR(CopyRowsIn(device, d_w, w));
  std::vector<WeightGrid> found(shape.grids);
  const auto bytes = static_cast<int64_t>(found.size() * sizeof(WeightGrid));
  if (search != nullptr) {
    EAQ_RETURN_IF_ERROR(AsStatus(backend.FindWeightGrids(d_w, shape.cols, shape.rows, shape.cols, shape.group,
                                                         KernelKind(spec.kind), spec.bits, *search, d_grids)));
  } else {
    for (size_t i = 0; i < found.size(); ++i) found[i] = {q.params[i].scale, static_cast<int32_t>(q.params[i].zero)};
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyIn(d_grids, found.data(), bytes)));
  }
  EAQ_RETURN_IF_ERROR(AsStatus(backend.QuantizeWeights(d_w, shape.cols, shape.rows, shape.cols, shape.group, spec.bits,
                                                       d_grids, d_codes, nullptr, shape.cols)));
  EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(q.codes.data(), d_codes, static_cast<int64_t>(q.codes.size()))));
  if (search != nullptr) {
    EAQ_RETURN_IF_ERROR(AsStatus(device.CopyOut(found.data(), d_grids, bytes)));
    q.params.clear();
    for (const WeightGrid& grid : found) q.params.push_back({grid.scale, static_cast<float>(grid.zero)});
  }
  EAQ_RETURN_IF_ERROR(AsStatus(arena.Check()));
  return q;
}

}  // namespace

bool KernelsFindGrids(ConstMatrixView w, const GridSpec& spec, const GridRange& range) {
  if (range.clip && (range.ratio || !ValidateClipSearch(*range.clip).ok())) return false;
  if (range.ratio && !ValidateRatio(*range.ratio, spec).ok()) return false;
  if (!KernelsTake(w, spec)) return false;
  // A range that holds all others.
  Range all;
  for (int64_t r = 0; r < w.rows; ++r) {
    const Range row = RangeWithZero(w.row_span(r));
    all = {std::min(all.min, row.min), std::max(all.max, row.max)};
  }
  return ParamsFromRange(spec, all.min, all.max, ScaleStorage::kFloat16).ok();
}

absl::StatusOr<QuantizedMatrix> DeviceNearest(kernels::Backend& backend, ConstMatrixView w, const GridSpec& spec,
                                              const GridRange& range) {
  const GridSearch search = KernelSearch(range);
  return Run(backend, w, spec, &search, {});
}

bool KernelsRound(ConstMatrixView w, const GridSpec& spec, const std::vector<GridParams>& grids) {
  if (!KernelsTake(w, spec) || static_cast<int64_t>(grids.size()) != spec.GridCount(w.rows, w.cols)) return false;
  return std::all_of(grids.begin(), grids.end(), [&](const GridParams& grid) {
    return std::isfinite(grid.scale) && grid.zero == std::nearbyint(grid.zero) &&
           std::fabs(grid.zero) <= static_cast<float>(spec.max_code());
  });
}

absl::StatusOr<QuantizedMatrix> DeviceOnGrids(kernels::Backend& backend, ConstMatrixView w, const GridSpec& spec,
                                              std::vector<GridParams> grids) {
  return Run(backend, w, spec, nullptr, std::move(grids));
}

}  // namespace eaq

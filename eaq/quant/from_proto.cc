#include "eaq/quant/from_proto.h"

#include "eaq/base/status_macros.h"

namespace eaq {

absl::StatusOr<GridSpec> GridFromProto(const Grid& grid) {
  GridSpec spec;
  spec.bits = grid.bits();
  spec.group_size = grid.group_size();
  switch (grid.kind()) {
    case Grid::ASYMMETRIC:
      spec.kind = GridKind::kAsymmetric;
      break;
    case Grid::SYMMETRIC_FULL_RANGE:
      spec.kind = GridKind::kSymmetricFullRange;
      break;
    case Grid::SYMMETRIC_RESTRICTED:
      spec.kind = GridKind::kSymmetricRestricted;
      break;
    case Grid::BINARY:
      spec.kind = GridKind::kBinary;
      break;
  }
  switch (grid.granularity()) {
    case Grid::PER_CHANNEL:
      spec.granularity = Granularity::kChannel;
      break;
    case Grid::PER_TENSOR:
      spec.granularity = Granularity::kTensor;
      break;
    case Grid::GROUP:
      spec.granularity = Granularity::kGroup;
      break;
  }
  if (spec.bits != 16) EAQ_RETURN_IF_ERROR(ValidateGrid(spec));
  return spec;
}

absl::StatusOr<ClipSearchSpec> ClipSearchFromProto(const ClipSearch& clip) {
  const ClipSearchSpec spec{.norm = clip.norm() == ClipSearch::MSE ? ClipNorm::kMse : ClipNorm::kL24,
                            .steps = clip.steps(),
                            .max_shrink = clip.max_shrink()};
  EAQ_RETURN_IF_ERROR(ValidateClipSearch(spec));
  return spec;
}

absl::StatusOr<GptqOptions> GptqFromProto(const Gptq& gptq) {
  GptqOptions options;
  options.damping = gptq.damping();
  options.act_order = gptq.act_order();
  options.static_groups = gptq.static_groups();
  options.block = gptq.block();
  options.zero_dead_columns = gptq.zero_dead_columns();
  options.stale_group_grids = gptq.stale_group_grids();
  if (gptq.has_clip()) {
    EAQ_ASSIGN_OR_RETURN(options.clip, ClipSearchFromProto(gptq.clip()));
  }
  return options;
}

}  // namespace eaq

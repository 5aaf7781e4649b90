// How the rows of a launch are prepared, as offsets into a layer's image: the steps of a run-time transform
// (eaq/model/online.h) and then the form in which they are multiplied.
#ifndef EAQ_DEVICE_ROWS_IMAGE_H_
#define EAQ_DEVICE_ROWS_IMAGE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/device/device_linear.h"
#include "eaq/device/image_builder.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/transform_rows.h"

namespace eaq {

// One launch of TransformRows. Offsets; -1: none. With RowsImage::by_expert, tables hold a set for each expert.
struct StepImage {
  kernels::cuda::RowTransform::Kind kind = kernels::cuda::RowTransform::Kind::kCopy;
  int64_t block = 0, stride = 1, core_order = 1;
  int64_t divisors = -1;  // first
  int64_t rotation = -1, permutation = -1, core = -1;
  friend bool operator==(const StepImage&, const StepImage&) = default;
};

struct RowsImage {
  enum class Form { kFloat32, kBf16, kCodes };
  std::vector<StepImage> steps;
  bool by_expert = false;  // a row for each slot instead of each token
  int64_t divisors = -1;   // after the steps, on the way to the form
  Form form = Form::kFloat32;
  int terms = 1;        // of kBf16
  bool rounds = false;  // to the grids of `input` beforehand, as float32
  InputFormat input;    // bits, group, quantizer

  bool floats() const { return form == Form::kFloat32; }
};
bool SameRows(const RowsImage& a, const RowsImage& b);

// Those of a layer: what several launches share lies in the image once.
class RowsWriter {
 public:
  // ROW_TERMS: of rows that become bfloat16 (layer_image.h).
  RowsWriter(int row_terms, ImageBuilder& builder) : row_terms_(row_terms), builder_(builder) {}

  // Of one launch over LINEARS, chosen as FORMAT. Unimplemented for steps beyond the limits of transform_rows.h.
  absl::StatusOr<RowsImage> Put(const ProductFormat& format, absl::Span<const DeviceLinear> linears);
  // The one step of TRANSFORM, of rows that ID tells of.
  absl::StatusOr<StepImage> Step(const OnlineTransform& transform, const LinearId& id);

 private:
  struct Written {
    std::vector<const OnlineTransform*> transforms;  // one, or one an expert
    std::vector<StepImage> steps;
    int64_t divisors = -1;  // a division after the last step
  };
  absl::StatusOr<const Written*> Find(std::vector<const OnlineTransform*> transforms, const LinearId& id);
  absl::StatusOr<Written> Write(std::vector<const OnlineTransform*> transforms, const LinearId& id);

  const int row_terms_;
  ImageBuilder& builder_;
  std::vector<Written> written_;
};

}  // namespace eaq

#endif  // EAQ_DEVICE_ROWS_IMAGE_H_

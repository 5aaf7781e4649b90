// Outlier channels put into a model without changing what it computes: a stress test for quantization
// (specs/data_and_training.md section 5).
//
// In every layer, CHANNELS random channels of the norm before the feed-forward are multiplied by FACTOR and the columns
// of all that reads them (router, experts, shared experts) divided by it. With a FACTOR that is a power of two the
// full-precision model gives the same bits, while the linears' inputs have channels as large as those of big language
// models. It is exactly the inverse of a diagonal smoothing, so methods that smooth win by construction: evidence of
// how methods cope with outliers, never that smoothing helps in nature.
#ifndef EAQ_MODEL_OUTLIERS_H_
#define EAQ_MODEL_OUTLIERS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "eaq/model/params.h"

namespace eaq {

struct OutlierOptions {
  int64_t channels = 4;
  double factor = 32;
  uint64_t seed = 0;
};

// InvalidArgument: channels not in 1 .. hidden_size, or a factor that is not a power of two above 1.
absl::StatusOr<std::shared_ptr<const ModelSource>> InjectOutliers(std::shared_ptr<const ModelSource> source,
                                                                  const OutlierOptions& options);
// hash() of that source, from the hash of the model it is made of.
std::string OutlierHash(const std::string& hash, const OutlierOptions& options);

}  // namespace eaq

#endif  // EAQ_MODEL_OUTLIERS_H_

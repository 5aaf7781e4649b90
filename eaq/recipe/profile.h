// Profile: what one pass of the calibration windows through a layer tells about the input of every linear: how many
// tokens it saw, their range, the largest magnitude of each channel, and the second moments (GPTQ's Hessian).
//
//   EAQ_ASSIGN_OR_RETURN(LayerProfile profile, ProfileLayer(*layer, hidden, ProfileOptions{}, pool));
//   const InputStatistics& x = profile.Of({.layer = 3, .role = Role::kDown, .expert = 7});
//
// Linears that read the same rows share one record: q, k, v; gate and up of an expert, shared or not; the router and
// the gate of a shared expert. What is recorded is what the weight meets: rows after the linear's online transform. The
// result depends on the windows and their order alone, not on the number of threads.
#ifndef EAQ_RECIPE_PROFILE_H_
#define EAQ_RECIPE_PROFILE_H_

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/layer.h"
#include "eaq/model/linear_id.h"
#include "eaq/quant/grid.h"
#include "eaq/quant/hessian.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

struct InputStatistics {
  int64_t tokens = 0;          // rows seen; 0 for an expert that no calibration token reached
  Range range;                 // smallest and largest value, 0 included; {0, 0} without tokens
  std::vector<float> abs_max;  // [in] largest |x| of each channel
  Hessian second_moments;      // sum of x x^T, or of c^p x x^T (ProfileOptions); size 0 unless asked for
};

struct ProfileOptions {
  bool second_moments = true;
  // p in 0, 1, 2: the second moments of what experts read are weighted by the token's affinity, c^p (affinity.h).
  int affinity_power = 0;
  const std::set<LinearId>* only = nullptr;  // the owners that are profiled; null: all
  const QuantizeOps* ops = &CpuOps();        // what runs the layer and sums the second moments
};

struct LayerProfile {
  std::map<LinearId, InputStatistics> inputs;  // by the id of the linear that stands for its sharers

  // ID: any linear of the layer that was profiled.
  const InputStatistics& Of(const LinearId& id) const { return inputs.at(InputOwner(id)); }
  // The same, or statistics of nothing (no tokens, no channels) in the empty profile of a recipe without data.
  const InputStatistics& OfOrNone(const LinearId& id) const;
  // The linear under which the input of ID is recorded.
  static LinearId InputOwner(LinearId id);
};

// HIDDEN: the inputs of the layer, one [tokens, hidden_size] a window; left as they are. Windows are taken a few at a
// time, so memory holds the linears' inputs of those few. DataLoss names the linear whose input holds a NaN or an
// infinity.
absl::StatusOr<LayerProfile> ProfileLayer(const DecoderLayer& layer, absl::Span<const Matrix> hidden,
                                          const ProfileOptions& options, ThreadPool& pool);

}  // namespace eaq

#endif  // EAQ_RECIPE_PROFILE_H_

#include "eaq/model/outliers.h"

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

// Whether the linear reads the norm before the feed-forward.
bool ReadsPostNorm(Role role) {
  switch (role) {
    case Role::kRouter:
    case Role::kGate:
    case Role::kUp:
    case Role::kSharedGate:
    case Role::kSharedUp:
    case Role::kSharedExpertGate:
      return true;
    default:
      return false;
  }
}

class OutlierSource : public ModelSource {
 public:
  OutlierSource(std::shared_ptr<const ModelSource> inner, const OutlierOptions& options)
      : inner_(std::move(inner)), options_(options), hash_(OutlierHash(inner_->hash(), options)) {}
  const ModelConfig& config() const override { return inner_->config(); }
  absl::StatusOr<OuterParams> LoadOuter() const override { return inner_->LoadOuter(); }
  const std::string& hash() const override { return hash_; }
  absl::StatusOr<LayerParams> LoadLayer(int layer) const override {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, inner_->LoadLayer(layer));
    std::vector<int64_t> channels(config().hidden_size);
    std::iota(channels.begin(), channels.end(), 0);
    Rng rng(options_.seed, absl::StrCat("outliers/L", layer));
    rng.Shuffle(channels);
    channels.resize(options_.channels);
    const float factor = static_cast<float>(options_.factor);
    for (const int64_t c : channels) {
      params.post_norm[c] *= factor;
      for (auto& [id, linear] : params.linears) {
        if (!ReadsPostNorm(id.role)) continue;
        for (int64_t r = 0; r < linear.weight.rows(); ++r) linear.weight(r, c) /= factor;
      }
    }
    return params;
  }

 private:
  const std::shared_ptr<const ModelSource> inner_;
  const OutlierOptions options_;
  const std::string hash_;
};

}  // namespace

std::string OutlierHash(const std::string& hash, const OutlierOptions& options) {
  return Fingerprint("outliers/v1").Add(hash).Add(options.channels).Add(options.factor).Add(options.seed).Hex();
}

absl::StatusOr<std::shared_ptr<const ModelSource>> InjectOutliers(std::shared_ptr<const ModelSource> source,
                                                                  const OutlierOptions& options) {
  if (options.channels < 1 || options.channels > source->config().hidden_size) {
    return absl::InvalidArgumentError(absl::StrCat("outliers: channels is ", options.channels, "; expected 1 to ",
                                                   source->config().hidden_size, ", the hidden size"));
  }
  int exponent = 0;
  if (!(options.factor > 1) || std::frexp(options.factor, &exponent) != 0.5 || exponent > 16) {
    return absl::InvalidArgumentError(
        absl::StrCat("outliers: factor is ", options.factor,
                     "; expected a power of two from 2 to 32768, so that the full-precision model stays as it is"));
  }
  return std::make_shared<const OutlierSource>(std::move(source), options);
}

}  // namespace eaq

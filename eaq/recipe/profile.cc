#include "eaq/recipe/profile.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/recipe/affinity.h"

namespace eaq {
namespace {

// Windows whose linear inputs are held at once. Part of nothing but memory: the sums run in window order.
constexpr int64_t kWindowsAtOnce = 16;

// Keeps a copy of every linear's input of one window, and the affinities of its rows where they are asked for.
class InputRecorder : public LayerObserver {
 public:
  InputRecorder(const DecoderLayer& layer, const ProfileOptions& options)
      : layer_(layer), options_(options), affinities_(layer) {}
  void OnRouter(int layer, ConstMatrixView logits, absl::Span<const int32_t> experts,
                absl::Span<const float> weights) override {
    if (options_.affinity_power > 0) affinities_.OnRouter(layer, logits, experts, weights);
  }
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    if (options_.affinity_power > 0) affinities_.OnLinearInput(id, x, tokens);
    if (LayerProfile::InputOwner(id) != id || (options_.only != nullptr && options_.only->count(id) == 0)) return;
    const auto it = inputs_.emplace(id, Matrix(x)).first;
    const OnlineTransform* online = layer_.linears().at(id)->online();
    if (online != nullptr) online->ApplyToInput(it->second.view());
  }
  const Matrix* Find(const LinearId& id) const {
    const auto it = inputs_.find(id);
    return it == inputs_.end() ? nullptr : &it->second;
  }
  std::vector<float> Affinities(const LinearId& id) const { return affinities_.Of(id, options_.affinity_power); }

 private:
  const DecoderLayer& layer_;
  const ProfileOptions& options_;
  AffinityRecorder affinities_;
  std::map<LinearId, Matrix> inputs_;
};

// Grows the statistics of one linear's input by the rows of one window.
class InputAccumulator {
 public:
  // MOMENTS: null where they are not asked for.
  InputAccumulator(int64_t channels, std::unique_ptr<MomentSum> moments) : moments_(std::move(moments)) {
    statistics_.abs_max.assign(channels, 0.0f);
  }

  // AFFINITIES: empty or one a row; they weight the second moments.
  absl::Status Add(const LinearId& id, const Matrix& x, absl::Span<const float> affinities) {
    for (int64_t r = 0; r < x.rows(); ++r) {
      for (int64_t c = 0; c < x.cols(); ++c) {
        const float value = x(r, c);
        if (!std::isfinite(value)) {
          return absl::DataLossError(
              absl::StrCat("the input of ", id.ToString(), " is ", value, " in channel ", c,
                           "; expected finite numbers: the model overflows on calibration text"));
        }
        statistics_.range.min = std::min(statistics_.range.min, value);
        statistics_.range.max = std::max(statistics_.range.max, value);
        statistics_.abs_max[c] = std::max(statistics_.abs_max[c], std::fabs(value));
      }
    }
    statistics_.tokens += x.rows();
    return moments_ != nullptr ? moments_->Add(x.const_view(), affinities) : absl::OkStatus();
  }

  absl::StatusOr<InputStatistics> Finish() {
    if (moments_ != nullptr) {
      EAQ_ASSIGN_OR_RETURN(statistics_.second_moments, moments_->Finish());
    }
    return std::move(statistics_);
  }

 private:
  InputStatistics statistics_;
  std::unique_ptr<MomentSum> moments_;
};

}  // namespace

const InputStatistics& LayerProfile::OfOrNone(const LinearId& id) const {
  static const InputStatistics* const none = new InputStatistics;
  const auto it = inputs.find(InputOwner(id));
  return it == inputs.end() ? *none : it->second;
}

LinearId LayerProfile::InputOwner(LinearId id) {
  switch (id.role) {
    case Role::kK:
    case Role::kV:
      id.role = Role::kQ;
      break;
    case Role::kUp:
      id.role = Role::kGate;
      break;
    case Role::kSharedUp:
      id.role = Role::kSharedGate;
      break;
    case Role::kSharedExpertGate:
      id.role = Role::kRouter;
      break;
    default:
      break;
  }
  return id;
}

absl::StatusOr<LayerProfile> ProfileLayer(const DecoderLayer& layer, absl::Span<const Matrix> hidden,
                                          const ProfileOptions& options, ThreadPool& pool) {
  std::vector<LinearId> owners;
  std::vector<InputAccumulator> accumulators;
  for (const auto& [id, linear] : layer.linears()) {
    if (LayerProfile::InputOwner(id) != id || (options.only != nullptr && options.only->count(id) == 0)) continue;
    owners.push_back(id);
    std::unique_ptr<MomentSum> moments;
    if (options.second_moments) {
      EAQ_ASSIGN_OR_RETURN(moments, options.ops->Moments(linear->in_features()));
    }
    accumulators.emplace_back(linear->in_features(), std::move(moments));
  }
  std::vector<absl::Status> status(owners.size());
  for (size_t begin = 0; begin < hidden.size(); begin += kWindowsAtOnce) {
    const int64_t count = std::min<int64_t>(kWindowsAtOnce, hidden.size() - begin);
    std::vector<InputRecorder> recorders(count, InputRecorder(layer, options));
    std::vector<Matrix> states(hidden.begin() + begin, hidden.begin() + begin + count);
    std::vector<LayerObserver*> observers;
    for (InputRecorder& recorder : recorders) observers.push_back(&recorder);
    EAQ_RETURN_IF_ERROR(options.ops->ForwardLayer(layer, NoCodes, absl::MakeSpan(states), observers, pool));
    pool.ParallelFor(owners.size(), [&](int64_t i) {
      for (const InputRecorder& recorder : recorders) {  // window order: the same sums for any number of threads
        const Matrix* x = recorder.Find(owners[i]);
        if (x == nullptr || !status[i].ok()) continue;
        status[i] = accumulators[i].Add(owners[i], *x, recorder.Affinities(owners[i]));
      }
    });
    for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);
  }
  LayerProfile profile;
  for (size_t i = 0; i < owners.size(); ++i) {
    EAQ_ASSIGN_OR_RETURN(profile.inputs[owners[i]], accumulators[i].Finish());
  }
  return profile;
}

}  // namespace eaq

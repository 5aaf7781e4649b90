// Slot 2: QuaRot. README.md has the equations; fold.h the arithmetic.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/methods/quarot/fold.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/plain_input.h"
#include "eaq/recipe/stage.h"

namespace eaq {
namespace {

// A linear in float64, rounded once when it goes back.
template <typename Edit>
void EditWide(LinearParams& linear, const Edit& edit) {
  std::vector<double> weight(linear.weight.data(), linear.weight.data() + linear.weight.size());
  std::vector<double> bias(linear.bias.begin(), linear.bias.end());
  edit(weight.data(), absl::MakeSpan(bias));
  std::copy(weight.begin(), weight.end(), linear.weight.data());
  std::copy(bias.begin(), bias.end(), linear.bias.begin());
}

// M[rows, n] <- M diag(gain) Q; GAIN empty: all 1.
Matrix Turned(const Matrix& m, absl::Span<const float> gain, const Rotation& q) {
  Matrix result(m.rows(), m.cols());
  std::vector<double> row(m.cols());
  for (int64_t r = 0; r < m.rows(); ++r) {
    for (int64_t c = 0; c < m.cols(); ++c) row[c] = gain.empty() ? m(r, c) : static_cast<double>(m(r, c)) * gain[c];
    q.Turn(row.data(), 1);
    std::copy(row.begin(), row.end(), result.row(r));
  }
  return result;
}

// The model with its residual stream turned by Q and all gains of its norms but q_norm and k_norm merged into what
// reads them. A head tied to the embedding becomes a matrix of its own: it alone carries the last norm's gain.
class RotatedModel : public ModelSource {
 public:
  RotatedModel(std::shared_ptr<const ModelSource> source, Rotation q, const QuaRot& options)
      : source_(std::move(source)), q_(std::move(q)), config_(source_->config()) {
    config_.tie_word_embeddings = false;
    // What the other options do is in the key of Apply.
    hash_ = Fingerprint("quarot/v1").Add(source_->hash()).Add(int{options.residual()}).Add(options.seed()).Hex();
  }

  const ModelConfig& config() const override { return config_; }
  const std::string& hash() const override { return hash_; }

  absl::StatusOr<LayerParams> LoadLayer(int layer) const override {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, source_->LoadLayer(layer));
    for (auto& [id, linear] : params.linears) {
      const Role role = id.role;
      EditWide(linear, [&, &linear = linear](double* weight, absl::Span<double> bias) {
        FoldResidual(role, params.input_norm, params.post_norm, q_, linear.weight.rows(), linear.weight.cols(), weight,
                     bias);
      });
    }
    std::fill(params.input_norm.begin(), params.input_norm.end(), 1.0f);
    std::fill(params.post_norm.begin(), params.post_norm.end(), 1.0f);
    return params;
  }

  absl::StatusOr<OuterParams> LoadOuter() const override {
    EAQ_ASSIGN_OR_RETURN(OuterParams outer, source_->LoadOuter());
    outer.head = Turned(outer.head.size() == 0 ? outer.embedding : outer.head, outer.final_norm, q_);
    outer.embedding = Turned(outer.embedding, {}, q_);
    std::fill(outer.final_norm.begin(), outer.final_norm.end(), 1.0f);
    return outer;
  }

 private:
  const std::shared_ptr<const ModelSource> source_;
  const Rotation q_;
  ModelConfig config_;
  std::string hash_;
};

class QuaRotTransform : public TransformSlot {
 public:
  explicit QuaRotTransform(const QuaRot& options) : options_(options) {}
  bool needs_profile() const override { return false; }

  absl::StatusOr<std::shared_ptr<const ModelSource>> Wrap(std::shared_ptr<const ModelSource> source) const override {
    if (options_.residual() == QuaRot::NONE) return std::shared_ptr<const ModelSource>();
    const int64_t width = source->config().hidden_size;
    if (options_.residual() == QuaRot::ORTHOGONAL) {
      return std::make_shared<RotatedModel>(std::move(source), Rotation::Orthogonal(width, options_.seed()), options_);
    }
    EAQ_ASSIGN_OR_RETURN(Rotation q, Rotation::Hadamard(width, options_.seed()));
    return std::make_shared<RotatedModel>(std::move(source), std::move(q), options_);
  }

  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    for (const auto& [id, change] : PlanOnline(*context.config, params.layer, options_)) {
      LinearParams& linear = params.linears.at(id);
      EAQ_RETURN_IF_ERROR(
          RequirePlainInput(params, id, "quarot", "expected it first, or its down and value_output switched off"));
      EditWide(linear, [&, &change = change](double* weight, absl::Span<double> bias) {
        ApplyChange(change, linear.weight.rows(), linear.weight.cols(), weight, bias);
      });
      linear.online = change.online;
    }
    if (const int64_t block = QueryKeyBlock(*context.config, options_); block > 0) params.qk_hadamard = block;
    return absl::OkStatus();
  }

 private:
  const QuaRot options_;
};

EAQ_REGISTER_STAGE(TransformSlot, QuaRot, [](const QuaRot& options) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
  if (options.weight_only() && options.residual() == QuaRot::NONE) {
    return absl::InvalidArgumentError(
        "quarot: weight_only leaves the residual rotation alone, but residual is NONE: nothing would be done");
  }
  return std::make_unique<QuaRotTransform>(options);
});

}  // namespace
}  // namespace eaq

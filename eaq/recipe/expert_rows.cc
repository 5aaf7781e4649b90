#include "eaq/recipe/expert_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "eaq/base/status_macros.h"
#include "eaq/model/linear.h"
#include "eaq/quant/quantized_matrix.h"
#include "kernels/backend.h"

namespace eaq {
namespace {

// The experts' rows of one window.
class RowRecorder : public LayerObserver {
 public:
  RowRecorder(const ModelConfig& config, std::vector<ExpertRows>* rows) : config_(config), rows_(rows) {
    rows_->resize(config.num_experts);
  }
  // The router decides before any expert reads.
  void OnRouter(int, ConstMatrixView logits, absl::Span<const int32_t> experts,
                absl::Span<const float> weights) override {
    const int64_t k = config_.experts_per_token;
    Matrix scores(logits);
    if (config_.router_score == RouterScore::kSigmoid) {
      for (int64_t i = 0; i < scores.size(); ++i) scores.data()[i] = 1.0f / (1.0f + std::exp(-scores.data()[i]));
    } else {
      kernels::SoftmaxRows(scores.data(), scores.cols(), scores.data(), scores.cols(), scores.rows(), scores.cols());
    }
    for (int64_t i = 0; i < static_cast<int64_t>(experts.size()); ++i) {  // token by token, so in each expert's order
      ExpertRows& to = (*rows_)[experts[i]];
      to.weight.push_back(weights[i]);
      to.probability.push_back(scores(i / k, experts[i]));
    }
  }
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    if (id.role != Role::kGate || id.expert < 0) return;
    (*rows_)[id.expert].x = Matrix(x);
    (*rows_)[id.expert].token.assign(tokens.begin(), tokens.end());
  }

 private:
  const ModelConfig& config_;
  std::vector<ExpertRows>* const rows_;
};

// down(silu(gate x) up x), each after its run-time transform
absl::StatusOr<Matrix> RunExpert(const DenseLinear& gate, const DenseLinear& up, const DenseLinear& down,
                                 const Matrix& x, const QuantizeOps& ops) {
  EAQ_ASSIGN_OR_RETURN(Matrix g, ops.Forward(gate, x.const_view()));
  EAQ_ASSIGN_OR_RETURN(const Matrix u, ops.Forward(up, x.const_view()));
  kernels::SiluMul(g.data(), u.data(), g.data(), g.size());
  return ops.Forward(down, g.const_view());
}

absl::StatusOr<DenseLinear> Rounded(const LinearId& id, const LinearParams& from, GridSpec grid, int bits,
                                    const ExpertErrorOptions& options) {
  if (bits >= 16) return DenseLinear(from.weight, from.bias, from.online);
  const absl::StatusOr<NearestResult> rounded =
      options.ops->Nearest(from.weight.const_view(), WithBits(grid, bits), {.clip = options.clip});
  EAQ_RETURN_IF_ERROR(Annotate(rounded.status(), id.ToString()));
  return DenseLinear(Dequantize(rounded->weight), from.bias, from.online);
}

}  // namespace

std::vector<ExpertRows> CollectExpertRows(const ModelConfig& config, int layer, const DecoderLayer& decoder,
                                          absl::Span<const Matrix> hidden, ThreadPool& pool) {
  if (!config.IsMoe(layer)) return {};
  const int64_t windows = hidden.size(), width = config.hidden_size;
  std::vector<std::vector<ExpertRows>> parts(windows);
  pool.ParallelFor(windows, [&](int64_t w) {
    RowRecorder recorder(config, &parts[w]);
    Matrix h = hidden[w];
    decoder.Forward(h.view(), &recorder);
  });
  std::vector<ExpertRows> all(config.num_experts);
  pool.ParallelFor(config.num_experts, [&](int64_t e) {
    ExpertRows& rows = all[e];
    rows.begin.push_back(0);
    for (int64_t w = 0; w < windows; ++w) rows.begin.push_back(rows.begin.back() + parts[w][e].x.rows());
    rows.x = Matrix(rows.begin.back(), width);
    for (int64_t w = 0; w < windows; ++w) {
      const ExpertRows& part = parts[w][e];
      if (part.x.rows() > 0) std::memcpy(rows.x.row(rows.begin[w]), part.x.data(), part.x.size() * sizeof(float));
      rows.weight.insert(rows.weight.end(), part.weight.begin(), part.weight.end());
      rows.probability.insert(rows.probability.end(), part.probability.begin(), part.probability.end());
      rows.token.insert(rows.token.end(), part.token.begin(), part.token.end());
    }
  });
  return all;
}

absl::StatusOr<ExpertErrors> MeasureExpertErrors(const LayerParams& params, absl::Span<const ExpertRows> rows,
                                                 const GridSpec& grid, absl::Span<const int> widths, ThreadPool& pool,
                                                 const ExpertErrorOptions& options) {
  ExpertErrors errors(rows.size());
  std::vector<absl::Status> status(rows.size());
  const auto rounds = [&](Role part) {
    return std::find(options.parts.begin(), options.parts.end(), part) != options.parts.end();
  };
  const auto measure = [&](int e) -> absl::Status {
    const LinearId gate{params.layer, Role::kGate, e}, up{params.layer, Role::kUp, e},
        down{params.layer, Role::kDown, e};
    const ExpertRows& r = rows[e];
    const auto run = [&](int bits) -> absl::StatusOr<Matrix> {
      const auto linear = [&](const LinearId& id) {
        return Rounded(id, params.linears.at(id), grid, rounds(id.role) ? bits : 16, options);
      };
      EAQ_ASSIGN_OR_RETURN(const DenseLinear g, linear(gate));
      EAQ_ASSIGN_OR_RETURN(const DenseLinear u, linear(up));
      EAQ_ASSIGN_OR_RETURN(const DenseLinear d, linear(down));
      return RunExpert(g, u, d, r.x, *options.ops);
    };
    EAQ_ASSIGN_OR_RETURN(const Matrix exact, run(16));
    for (const int bits : widths) {
      std::vector<double>& by_window = errors[e].emplace_back(r.begin.size() - 1, 0.0);
      EAQ_ASSIGN_OR_RETURN(const Matrix rounded, run(bits));
      for (size_t w = 0; w + 1 < r.begin.size(); ++w) {
        for (int64_t i = r.begin[w]; i < r.begin[w + 1]; ++i) {
          const float* importance = options.importance.empty() ? nullptr : options.importance[w].row(r.token[i]);
          double square = 0;
          for (int64_t c = 0; c < exact.cols(); ++c) {
            const double difference = static_cast<double>(exact(i, c)) - rounded(i, c);
            square += difference * difference * (importance == nullptr ? 1.0 : importance[c]);
          }
          by_window[w] += static_cast<double>(r.weight[i]) * r.weight[i] * square;
        }
      }
    }
    return absl::OkStatus();
  };
  pool.ParallelFor(rows.size(), [&](int64_t e) { status[e] = measure(static_cast<int>(e)); });
  for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);
  return errors;
}

}  // namespace eaq

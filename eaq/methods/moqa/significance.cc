#include "eaq/methods/moqa/significance.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "eaq/base/status_macros.h"
#include "eaq/model/linear.h"
#include "eaq/quant/quantized_matrix.h"
#include "kernels/backend.h"

namespace eaq::moqa {
namespace {

constexpr Role kParts[] = {Role::kGate, Role::kUp, Role::kDown};

// Of one expert, kind of matrix and data set.
struct Sums {
  double measured = 0;  // weighted by the gates
  double squares = 0;   // of all outputs, for the scale
  double count = 0;
  std::vector<double> channels;  // measured, channel by channel; empty unless asked for
};

class Expert {
 public:
  Expert(const LayerParams& params, int expert, const ExpertRows& rows, const SignificanceOptions& options,
         bool channels)
      : params_(params), expert_(expert), rows_(rows), options_(options), channels_(channels) {}

  // [part][set]
  absl::StatusOr<std::vector<std::vector<Sums>>> Measure(absl::Span<const int> set, int sets) const {
    std::vector<std::vector<Sums>> sums(3, std::vector<Sums>(sets));
    EAQ_ASSIGN_OR_RETURN(const Matrix gate, Output(Weight(Role::kGate), rows_.x));
    EAQ_ASSIGN_OR_RETURN(const Matrix up, Output(Weight(Role::kUp), rows_.x));
    Matrix between = gate;
    kernels::SiluMul(gate.data(), up.data(), between.data(), between.size());
    EAQ_ASSIGN_OR_RETURN(const Matrix down, Output(Weight(Role::kDown), between));
    const Matrix* const outputs[] = {&gate, &up, &down};
    for (int m = 0; m < 3; ++m) {
      for (Sums& of_set : sums[m]) of_set.channels.assign(channels_ ? outputs[m]->cols() : 0, 0.0);
      Matrix error;
      if (options_.measure == MoQa::ROUNDING_ERROR) {
        EAQ_ASSIGN_OR_RETURN(const Matrix lost, Lost(kParts[m]));
        EAQ_ASSIGN_OR_RETURN(error, Output(lost, kParts[m] == Role::kDown ? between : rows_.x));
      }
      for (size_t w = 0; w + 1 < rows_.begin.size(); ++w) {
        for (int64_t i = rows_.begin[w]; i < rows_.begin[w + 1]; ++i) {
          Add(*outputs[m], options_.measure == MoQa::ROUNDING_ERROR ? error : *outputs[m], i, sums[m][set[w]]);
        }
      }
    }
    return sums;
  }

 private:
  const Matrix& Weight(Role role) const { return params_.linears.at({params_.layer, role, expert_}).weight; }

  absl::StatusOr<Matrix> Output(const Matrix& weight, const Matrix& x) const {
    return options_.ops->Forward(DenseLinear(weight), x.const_view());
  }

  // What rounding to two bits takes away.
  absl::StatusOr<Matrix> Lost(Role role) const {
    GridSpec grid = options_.grid;
    grid.bits = 2;
    const absl::StatusOr<NearestResult> q = options_.ops->Nearest(Weight(role).const_view(), grid, {});
    EAQ_RETURN_IF_ERROR(Annotate(q.status(), LinearId{params_.layer, role, expert_}.ToString()));
    Matrix lost = Weight(role);
    const Matrix kept = Dequantize(q->weight);
    for (int64_t i = 0; i < lost.size(); ++i) lost.data()[i] -= kept.data()[i];
    return lost;
  }

  void Add(const Matrix& output, const Matrix& judged, int64_t i, Sums& to) const {
    double sum = 0, squares = 0;
    const double weight = std::pow(rows_.weight[i], options_.gate_power);
    for (int64_t c = 0; c < output.cols(); ++c) {
      const double y = judged(i, c);
      const double part = options_.measure == MoQa::SQUARE ? y * y : options_.measure == MoQa::COUNT ? 1 : std::abs(y);
      sum += part;
      if (channels_) to.channels[c] += weight * part;
      squares += static_cast<double>(output(i, c)) * output(i, c);
    }
    to.measured += weight * sum;
    to.squares += squares;
    to.count += static_cast<double>(output.cols());
  }

  const LayerParams& params_;
  const int expert_;
  const ExpertRows& rows_;
  const SignificanceOptions& options_;
  const bool channels_;
};

absl::StatusOr<ChannelSignificances> Measure(const LayerParams& params, absl::Span<const ExpertRows> rows,
                                             absl::Span<const int> set, int sets, const SignificanceOptions& options,
                                             bool channels, ThreadPool& pool) {
  std::vector<std::vector<std::vector<Sums>>> sums(rows.size());  // [expert][part][set]
  std::vector<absl::Status> status(rows.size());
  pool.ParallelFor(rows.size(), [&](int64_t e) {
    auto measured = Expert(params, static_cast<int>(e), rows[e], options, channels).Measure(set, sets);
    if (measured.ok()) sums[e] = *std::move(measured);
    status[e] = measured.status();
  });
  for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);

  ChannelSignificances result;
  result.experts.assign(sets, std::vector<double>(rows.size(), 0.0));
  if (channels) result.channels.resize(sets);
  for (int d = 0; d < sets; ++d) {
    double total = 0, scales[3];
    for (int m = 0; m < 3; ++m) {
      Sums all;
      for (const auto& expert : sums) all.squares += expert[m][d].squares, all.count += expert[m][d].count;
      const double mean_square = all.count > 0 ? all.squares / all.count : 0;
      const double scale = options.measure == MoQa::COUNT    ? 1
                           : options.measure == MoQa::SQUARE ? mean_square
                                                             : std::sqrt(mean_square);
      scales[m] = scale;
      for (size_t e = 0; e < rows.size() && scale > 0; ++e) {
        const double share = sums[e][m][d].measured / scale;
        result.experts[d][e] += share;
        total += share;
      }
    }
    for (double& s : result.experts[d]) s = total > 0 ? s / total : 0;
    for (size_t e = 0; e < rows.size() && channels; ++e) {
      auto& parts = result.channels[d].emplace_back();
      for (int m = 0; m < 3; ++m) {
        std::vector<double>& of_part = parts.emplace_back(std::move(sums[e][m][d].channels));
        for (double& s : of_part) s = total > 0 && scales[m] > 0 ? s / scales[m] / total : 0;
      }
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<std::vector<std::vector<double>>> Significance(const LayerParams& params,
                                                              absl::Span<const ExpertRows> rows,
                                                              absl::Span<const int> set, int sets,
                                                              const SignificanceOptions& options, ThreadPool& pool) {
  EAQ_ASSIGN_OR_RETURN(ChannelSignificances all, Measure(params, rows, set, sets, options, false, pool));
  return std::move(all.experts);
}

absl::StatusOr<ChannelSignificances> SignificanceOfChannels(const LayerParams& params,
                                                            absl::Span<const ExpertRows> rows,
                                                            absl::Span<const int> set, int sets,
                                                            const SignificanceOptions& options, ThreadPool& pool) {
  return Measure(params, rows, set, sets, options, true, pool);
}

}  // namespace eaq::moqa

#include "eaq/recipe/calibration_statistics.h"

#include <zlib.h>

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/head.h"
#include "eaq/model/layer.h"

namespace eaq {
namespace {

// Counts which experts the tokens of one window choose.
class UseCounter : public LayerObserver {
 public:
  UseCounter(ExpertCounts* counts, int64_t experts) : counts_(counts), experts_(experts) {}
  void OnRouter(int layer, ConstMatrixView, absl::Span<const int32_t> experts, absl::Span<const float>) override {
    for (const int32_t e : experts) ++(*counts_)[layer * experts_ + e];
  }

 private:
  ExpertCounts* const counts_;
  const int64_t experts_;
};

}  // namespace

double ExpertImbalance(const ModelConfig& config, absl::Span<const int32_t> counts, int64_t tokens,
                       ImbalanceForm form) {
  const int64_t experts = config.num_experts;
  if (experts < 2) return 0;
  double sum = 0;
  int64_t layers = 0;
  for (int64_t l = 0; l < config.num_layers; ++l) {
    if (!config.IsMoe(l)) continue;
    ++layers;
    double total = 0, square = 0;
    for (int64_t e = 0; e < experts; ++e) total += counts[l * experts + e];
    const double mean = total / static_cast<double>(experts);
    for (int64_t e = 0; e < experts; ++e) {
      const double difference = counts[l * experts + e] - mean;
      square += difference * difference;
    }
    const double deviation = std::sqrt(square / static_cast<double>(experts - 1));
    if (form == ImbalanceForm::kTokens) {
      sum += deviation / static_cast<double>(tokens);
    } else if (total > 0) {
      sum += std::sqrt(static_cast<double>(experts)) * deviation / total;
    }
  }
  return layers == 0 ? 0 : sum / static_cast<double>(layers);
}

absl::StatusOr<std::vector<ExpertCounts>> CountExpertUse(const std::vector<CalibrationWindow>& windows,
                                                         const ModelSource& source, ThreadPool& pool) {
  const ModelConfig& config = source.config();
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source.LoadOuter());
  const ModelEnds ends(config, std::move(outer));
  std::vector<ExpertCounts> use(windows.size(), ExpertCounts(config.num_layers * config.num_experts, 0));
  std::vector<Matrix> hidden(windows.size());
  pool.ParallelFor(windows.size(), [&](int64_t w) {
    hidden[w] = Matrix(windows[w].window.ids.size(), config.hidden_size);
    ends.Embed(windows[w].window.ids, hidden[w].view());
  });
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, source.LoadLayer(l));
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(config, std::move(params)));
    pool.ParallelFor(windows.size(), [&](int64_t w) {
      UseCounter counter(&use[w], config.num_experts);
      layer->Forward(hidden[w].view(), &counter);
    });
  }
  return use;
}

double CompressionRatio(absl::string_view text) {
  if (text.empty()) return 1;
  uLongf size = compressBound(text.size());
  std::vector<Bytef> packed(size);
  // With compressBound's room it cannot fail but for memory.
  compress2(packed.data(), &size, reinterpret_cast<const Bytef*>(text.data()), text.size(), 6);
  return static_cast<double>(size) / static_cast<double>(text.size());
}

absl::StatusOr<CalibrationStatistics> MeasureCalibration(const std::vector<CalibrationWindow>& windows,
                                                         const ModelSource& source, const Tokenizer& tokenizer,
                                                         ThreadPool& pool) {
  const ModelConfig& config = source.config();
  EAQ_ASSIGN_OR_RETURN(const std::vector<ExpertCounts> use, CountExpertUse(windows, source, pool));
  CalibrationStatistics s;
  ExpertCounts all(config.num_layers * config.num_experts, 0);
  int64_t tokens = 0;
  for (size_t w = 0; w < windows.size(); ++w) {
    const std::vector<int32_t>& ids = windows[w].window.ids;
    for (size_t e = 0; e < all.size(); ++e) all[e] += use[w][e];
    tokens += ids.size();
    const double ratio = CompressionRatio(tokenizer.Decode(ids));
    const double share = 1.0 / static_cast<double>(windows.size());
    s.window_imbalance += share * ExpertImbalance(config, use[w], ids.size(), ImbalanceForm::kTokens);
    s.zlib_ratio += share * ratio;
    s.repetitive += share * (ratio < kRepetitiveRatio);
  }
  if (tokens > 0) s.imbalance = ExpertImbalance(config, all, tokens, ImbalanceForm::kTokens);
  return s;
}

}  // namespace eaq

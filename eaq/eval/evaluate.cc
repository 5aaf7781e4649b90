#include "eaq/eval/evaluate.h"

#include <chrono>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/add_metric.h"

namespace eaq {
namespace {

// The series and its mean as a metric; returns the mean.
double AddSeries(const std::string& name, const EvaluationDomain& domain, const std::vector<double>& values,
                 TrialResult& result) {
  Series& series = *result.add_series();
  series.set_metric(name);
  series.set_domain(domain.name);
  double sum = 0;
  for (size_t w = 0; w < values.size(); ++w) {
    series.add_value(values[w]);
    series.add_document(domain.windows[w].document);
    sum += values[w];
  }
  const double mean = sum / static_cast<double>(values.size());
  AddMetric(name, domain.name, mean, result);
  return mean;
}

// One router layer of one domain: the means over its windows, all of which have as many tokens.
void AddRouting(const EvaluationDomain& domain, int layer, absl::Span<const std::vector<uint16_t>> full,
                absl::Span<const std::vector<uint16_t>> quantized, int64_t k, TrialResult& result) {
  RouterAgreement sum;
  for (size_t w = 0; w < full.size(); ++w) {
    const RouterAgreement one = CompareRouting(full[w], quantized[w], k);
    sum.topk_agreement += one.topk_agreement;
    sum.top1_change += one.top1_change;
  }
  const double n = static_cast<double>(full.size());
  AddMetric("router_topk_agreement", domain.name, sum.topk_agreement / n, result, layer);
  AddMetric("router_top1_change", domain.name, sum.top1_change / n, result, layer);
}

// Mean over the tokens of KL(softmax(full) || softmax(quantized)) over all experts.
double RouterKl(absl::Span<const Matrix> full, absl::Span<const Matrix> quantized) {
  double sum = 0;
  int64_t tokens = 0;
  for (size_t w = 0; w < full.size(); ++w) {
    const int64_t experts = full[w].cols();
    for (int64_t t = 0; t < full[w].rows(); ++t) {
      sum += KlFromLogits({full[w].row(t), static_cast<size_t>(experts)},
                          {quantized[w].row(t), static_cast<size_t>(experts)});
    }
    tokens += full[w].rows();
  }
  return sum / static_cast<double>(tokens);
}

}  // namespace

std::vector<absl::Span<const int32_t>> WindowIds(const std::vector<EvaluationDomain>& domains) {
  std::vector<absl::Span<const int32_t>> ids;
  for (const EvaluationDomain& domain : domains) {
    for (const Window& window : domain.windows) ids.push_back(window.ids);
  }
  return ids;
}

absl::Status Evaluate(const ModelEnds& ends, const std::vector<EvaluationDomain>& domains, const ModelTrace& full,
                      const ModelTrace* quantized, ThreadPool& pool, ProgressSink& progress, TrialResult& result,
                      const ScoreOptions& options) {
  const ModelConfig& config = ends.config();
  const size_t total = WindowIds(domains).size();
  for (const ModelTrace* trace : {&full, quantized}) {
    if (trace == nullptr || trace->hidden.size() == total) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("a trace of ", trace->hidden.size(), " windows; expected the ", total, " evaluation windows"));
  }
  size_t first = 0;
  for (const EvaluationDomain& domain : domains) {
    progress.Update("evaluate", first, total);
    const auto start = std::chrono::steady_clock::now();
    const size_t n = domain.windows.size();
    if (n == 0) return absl::InvalidArgumentError(absl::StrCat("domain ", domain.name, " has no windows"));
    std::vector<double> nll(n), kl(n), greedy(n), top_k(n);
    std::vector<absl::Status> status(n);
    const auto score_window = [&](int64_t w) {
      const absl::Span<const int32_t> ids = domain.windows[w].ids;
      if (quantized == nullptr) {
        const auto score = ScoreWindow(ends, ids, full.hidden[first + w].view(), options.scorer);
        status[w] = score.status();
        if (score.ok()) nll[w] = score->nll();
        return;
      }
      const auto both =
          CompareWindow(ends, ids, full.hidden[first + w].view(), quantized->hidden[first + w].view(), options);
      status[w] = both.status();
      if (!both.ok()) return;
      nll[w] = both->quantized.nll();
      kl[w] = both->kl;
      greedy[w] = both->greedy_agreement;
      top_k[w] = both->top_k_agreement;
    };
    if (options.scorer == nullptr) {
      pool.ParallelFor(n, score_window);
    } else {
      for (size_t w = 0; w < n; ++w) score_window(static_cast<int64_t>(w));
    }
    for (size_t w = 0; w < n; ++w) {
      EAQ_RETURN_IF_ERROR(Annotate(status[w], absl::StrCat("evaluation domain ", domain.name, ", window ", w)));
    }
    AddMetric("perplexity", domain.name, std::exp(AddSeries("nll", domain, nll, result)), result);
    if (quantized != nullptr) {
      AddSeries("kl", domain, kl, result);
      AddSeries("greedy_agreement", domain, greedy, result);
      if (options.top_k > 0) AddSeries(absl::StrCat("top", options.top_k, "_agreement"), domain, top_k, result);
    }
    const ModelTrace& measured = quantized == nullptr ? full : *quantized;
    for (const auto& [layer, windows] : measured.experts) {
      const auto own = absl::MakeConstSpan(windows).subspan(first, n);
      if (quantized != nullptr) {
        AddRouting(domain, layer, absl::MakeConstSpan(full.experts.at(layer)).subspan(first, n), own,
                   config.experts_per_token, result);
        if (config.router_score == RouterScore::kSoftmax) {
          AddMetric("router_kl", domain.name,
                    RouterKl(absl::MakeConstSpan(full.router_logits.at(layer)).subspan(first, n),
                             absl::MakeConstSpan(quantized->router_logits.at(layer)).subspan(first, n)),
                    result, layer);
        }
      }
      TrialResult::ExpertUse& use = *result.add_expert_use();
      use.set_domain(domain.name);
      use.set_layer(layer);
      for (const double share : ExpertUse(own, config.num_experts)) use.add_share(share);
    }
    Fingerprint hash("evaluate/v1");
    hash.Add(absl::MakeConstSpan(nll)).Add(absl::MakeConstSpan(kl)).Add(absl::MakeConstSpan(greedy));
    if (options.top_k > 0) hash.Add(absl::MakeConstSpan(top_k));
    StageRun& run = *result.add_stage();
    run.set_stage(absl::StrCat("evaluate/", domain.name));
    run.set_hash(hash.Hex());
    run.set_seconds(SecondsSince(start));
    first += n;
  }
  progress.Update("evaluate", total, total);
  return absl::OkStatus();
}

}  // namespace eaq

#include "experiments/switched_tracer.h"

#include <utility>

#include "eaq/base/status_macros.h"
#include "eaq/proto/add_metric.h"

namespace eaq {
namespace {

const DecoderLayer* InState(const FinishedLayer& layer, int state) {
  return state < 0 ? layer.quantized : layer.states[state].get();
}

}  // namespace

SwitchedTracer::SwitchedTracer(const ModelEnds& ends, const std::vector<EvaluationDomain>& domains,
                               const std::optional<SwitchingOptions>& switching, std::vector<std::string> known,
                               ThreadPool& pool)
    : config_(ends.config()),
      domains_(domains),
      known_(std::move(known)),
      tells_(switching && switching->states && switching->told),
      detects_(switching && switching->states && !switching->told),
      detector_(switching ? switching->detector : DetectorOptions()) {
  const size_t states = detects_ ? 1 + known_.size() : 1;
  for (size_t s = 0; s < states; ++s) tracers_.emplace_back(ends, WindowIds(domains), pool);
}

void SwitchedTracer::Advance(const FinishedLayer& layer, ThreadPool& pool) {
  if (!tells_) {
    for (size_t s = 0; s < tracers_.size(); ++s) {
      tracers_[s].Advance(layer.index, *InState(layer, static_cast<int>(s) - 1), pool);
    }
    return;
  }
  tracers_[0].Advance(layer.index, Told(layer), pool);
}

std::vector<const DecoderLayer*> SwitchedTracer::Told(const FinishedLayer& layer) const {
  std::vector<const DecoderLayer*> decoders;
  for (const EvaluationDomain& domain : domains_) {
    const DecoderLayer* decoder = InState(layer, PlaceOf(domain.name, layer.switching->sets));
    decoders.insert(decoders.end(), domain.windows.size(), decoder);
  }
  return decoders;
}

absl::Status SwitchedTracer::Advance(const FinishedLayer& layer, Run run) {
  if (!tells_) {
    for (size_t s = 0; s < tracers_.size(); ++s) {
      EAQ_RETURN_IF_ERROR(tracers_[s].Advance(layer.index, [&](MatrixView hidden, absl::Span<const int64_t> lengths,
                                                               absl::Span<LayerObserver* const> observers) {
        return run(*InState(layer, static_cast<int>(s) - 1), hidden, lengths, observers);
      }));
    }
    return absl::OkStatus();
  }
  const std::vector<const DecoderLayer*> decoders = Told(layer);
  return tracers_[0].Advance(
      layer.index,
      [&](MatrixView hidden, absl::Span<const int64_t> lengths,
          absl::Span<LayerObserver* const> observers) -> absl::Status {
        int64_t row = 0;
        for (size_t begin = 0, end = 0; begin < decoders.size(); begin = end) {
          int64_t rows = 0;
          while (end < decoders.size() && decoders[end] == decoders[begin]) rows += lengths[end++];
          EAQ_RETURN_IF_ERROR(run(*decoders[begin], hidden.Rows(row, rows), lengths.subspan(begin, end - begin),
                                  observers.subspan(begin, end - begin)));
          row += rows;
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<ModelTrace> SwitchedTracer::Finish(absl::Span<const ExpertCounts> counts, absl::Span<const int> set,
                                                  TrialResult& result) {
  if (detects_) return Detect(counts, set, result);
  for (const EvaluationDomain& domain : domains_) {
    if (tells_) AddMetric("told_known", domain.name, PlaceOf(domain.name, known_) >= 0 ? 1 : 0, result);
  }
  return tracers_[0].Finish();
}

ExpertCounts SwitchedTracer::CountsOf(const ModelTrace& trace, size_t window) const {
  ExpertCounts counts(config_.num_layers * config_.num_experts, 0);
  for (const auto& [layer, windows] : trace.experts) {
    for (const uint16_t expert : windows[window]) ++counts[layer * config_.num_experts + expert];
  }
  return counts;
}

absl::StatusOr<ModelTrace> SwitchedTracer::Detect(absl::Span<const ExpertCounts> counts, absl::Span<const int> set,
                                                  TrialResult& result) {
  EAQ_ASSIGN_OR_RETURN(DataSetDetector detector,
                       DataSetDetector::Create(config_, counts, set, static_cast<int>(known_.size()), detector_));
  std::vector<ModelTrace> traces;
  for (Tracer& tracer : tracers_) traces.push_back(tracer.Finish());
  AddMetric("detector_threshold", "", detector.threshold(), result);
  std::vector<int> which;
  int switches = 0;
  for (const EvaluationDomain& domain : domains_) {
    const int own = PlaceOf(domain.name, known_);
    const size_t n = domain.windows.size();
    double right = 0, none = 0, delay = static_cast<double>(n);
    for (size_t w = 0; w < n; ++w) {
      const int state = detector.state();
      which.push_back(state + 1);
      if (state < 0) ++none;
      if (state >= 0 && state == own) {
        if (right == 0) delay = static_cast<double>(w);
        ++right;
      }
      switches += detector.Observe(CountsOf(traces[state + 1], which.size() - 1)) != state;
    }
    const double all = static_cast<double>(n);
    if (own >= 0) AddMetric("detector_right", domain.name, right / all, result);
    AddMetric("detector_wrong", domain.name, (all - right - none) / all, result);
    AddMetric("detector_none", domain.name, none / all, result);
    if (own >= 0) AddMetric("detector_delay", domain.name, delay, result);
  }
  AddMetric("detector_switches", "", switches, result);
  return PickWindows(std::move(traces), which);
}

}  // namespace eaq

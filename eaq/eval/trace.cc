#include "eaq/eval/trace.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "eaq/base/bytes.h"
#include "eaq/base/status_macros.h"
#include "eaq/tensor/matrix_bytes.h"

namespace eaq {
namespace {

class RoutingRecorder : public LayerObserver {
 public:
  RoutingRecorder(std::vector<uint16_t>* chosen, Matrix* logits, int64_t* dropped)
      : chosen_(chosen), logits_(logits), dropped_(dropped) {}
  void OnRouter(int, ConstMatrixView logits, absl::Span<const int32_t> experts,
                absl::Span<const float> weights) override {
    *dropped_ = std::count(weights.begin(), weights.end(), 0.0f);
    chosen_->assign(experts.begin(), experts.end());
    *logits_ = Matrix(logits);
  }

 private:
  std::vector<uint16_t>* const chosen_;
  Matrix* const logits_;
  int64_t* const dropped_;
};

}  // namespace

std::string ModelTrace::Serialize() const {
  ByteWriter out;
  out.Number<uint64_t>(hidden.size());
  for (const Matrix& m : hidden) PutMatrix(m, out);
  out.Number<uint64_t>(experts.size());
  for (const auto& [layer, windows] : experts) {
    out.Number(layer).Number<uint64_t>(windows.size());
    for (const std::vector<uint16_t>& chosen : windows) out.Array(absl::MakeConstSpan(chosen));
    for (const Matrix& logits : router_logits.at(layer)) PutMatrix(logits, out);
  }
  return out.Take();
}

absl::StatusOr<ModelTrace> ModelTrace::Parse(absl::string_view bytes) {
  ByteReader in(bytes);
  ModelTrace trace;
  const uint64_t windows = in.Number<uint64_t>();
  for (uint64_t w = 0; w < windows && in.ok(); ++w) {
    if (!TakeMatrix(in, &trace.hidden.emplace_back())) {
      trace.hidden.pop_back();
      break;
    }
  }
  const uint64_t layers = in.Number<uint64_t>();
  for (uint64_t l = 0; l < layers && in.ok(); ++l) {
    const int index = in.Number<int>();
    std::vector<std::vector<uint16_t>>& layer = trace.experts[index];
    const uint64_t count = in.Number<uint64_t>();
    for (uint64_t w = 0; w < count && in.ok(); ++w) {
      layer.emplace_back();
      in.Array(&layer.back());
    }
    std::vector<Matrix>& logits = trace.router_logits[index];
    for (uint64_t w = 0; w < count && in.ok(); ++w) {
      if (!TakeMatrix(in, &logits.emplace_back())) {
        return absl::InvalidArgumentError(absl::StrCat("not a model trace: ", bytes.size(), " bytes that do not fit"));
      }
    }
  }
  if (!in.Finished() || trace.hidden.size() != windows) {
    return absl::InvalidArgumentError(absl::StrCat("not a model trace: ", bytes.size(), " bytes that do not fit"));
  }
  return trace;
}

Tracer::Tracer(const ModelEnds& ends, absl::Span<const absl::Span<const int32_t>> windows, ThreadPool& pool) {
  trace_.hidden.resize(windows.size());
  pool.ParallelFor(windows.size(), [&](int64_t w) {
    trace_.hidden[w] = Matrix(windows[w].size(), ends.config().hidden_size);
    ends.Embed(windows[w], trace_.hidden[w].view());
  });
}

void Tracer::Advance(int layer, const DecoderLayer& decoder, ThreadPool& pool) {
  Advance(layer, std::vector<const DecoderLayer*>(trace_.hidden.size(), &decoder), pool);
}

void Tracer::Advance(int layer, absl::Span<const DecoderLayer* const> decoders, ThreadPool& pool) {
  std::vector<std::vector<uint16_t>> chosen(trace_.hidden.size());
  std::vector<Matrix> logits(trace_.hidden.size());
  std::vector<int64_t> dropped(trace_.hidden.size(), 0);
  pool.ParallelFor(trace_.hidden.size(), [&](int64_t w) {
    RoutingRecorder recorder(&chosen[w], &logits[w], &dropped[w]);
    decoders[w]->Forward(trace_.hidden[w].view(), &recorder);
  });
  Keep(layer, std::move(chosen), std::move(logits), dropped);
}

absl::Status Tracer::Advance(int layer, Forward forward) {
  const size_t windows = trace_.hidden.size();
  if (windows == 0) return absl::OkStatus();
  std::vector<std::vector<uint16_t>> chosen(windows);
  std::vector<Matrix> logits(windows);
  std::vector<int64_t> dropped(windows, 0), lengths;
  std::vector<RoutingRecorder> recorders;
  std::vector<LayerObserver*> observers;
  int64_t rows = 0;
  for (size_t w = 0; w < windows; ++w) {
    lengths.push_back(trace_.hidden[w].rows());
    rows += lengths.back();
    recorders.emplace_back(&chosen[w], &logits[w], &dropped[w]);
  }
  for (RoutingRecorder& recorder : recorders) observers.push_back(&recorder);
  Matrix all(rows, trace_.hidden[0].cols());
  const auto each = [&](const auto& copy) {
    int64_t first = 0;
    for (Matrix& window : trace_.hidden) {
      copy(all.row(first), window.data(), window.size());
      first += window.rows();
    }
  };
  each([](float* together, float* own, int64_t n) { std::copy_n(own, n, together); });
  EAQ_RETURN_IF_ERROR(forward(all.view(), lengths, observers));
  each([](float* together, float* own, int64_t n) { std::copy_n(together, n, own); });
  Keep(layer, std::move(chosen), std::move(logits), dropped);
  return absl::OkStatus();
}

void Tracer::Keep(int layer, std::vector<std::vector<uint16_t>> chosen, std::vector<Matrix> logits,
                  const std::vector<int64_t>& dropped) {
  if (chosen.empty() || chosen[0].empty()) return;
  trace_.experts[layer] = std::move(chosen);
  trace_.router_logits[layer] = std::move(logits);
  trace_.dropped[layer] = std::accumulate(dropped.begin(), dropped.end(), int64_t{0});
}

ModelTrace PickWindows(std::vector<ModelTrace> traces, absl::Span<const int> which) {
  ModelTrace picked;
  for (size_t w = 0; w < which.size(); ++w) {
    ModelTrace& from = traces[which[w]];
    picked.hidden.push_back(std::move(from.hidden[w]));
    for (auto& [layer, windows] : from.experts) picked.experts[layer].push_back(std::move(windows[w]));
    for (auto& [layer, windows] : from.router_logits) picked.router_logits[layer].push_back(std::move(windows[w]));
  }
  return picked;
}

RouterAgreement CompareRouting(absl::Span<const uint16_t> full, absl::Span<const uint16_t> quantized, int64_t k) {
  const int64_t tokens = static_cast<int64_t>(full.size()) / k;
  int64_t common = 0, changed = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const auto f = full.subspan(t * k, k), q = quantized.subspan(t * k, k);
    changed += f[0] != q[0];
    for (const uint16_t e : f) common += std::count(q.begin(), q.end(), e);
  }
  return {static_cast<double>(common) / static_cast<double>(tokens * k),
          static_cast<double>(changed) / static_cast<double>(tokens)};
}

std::vector<double> ExpertUse(absl::Span<const std::vector<uint16_t>> windows, int64_t experts) {
  std::vector<int64_t> count(experts, 0);
  int64_t total = 0;
  for (const std::vector<uint16_t>& window : windows) {
    for (const uint16_t e : window) ++count[e];
    total += window.size();
  }
  std::vector<double> share(experts, 0);
  for (int64_t e = 0; e < experts && total > 0; ++e) {
    share[e] = static_cast<double>(count[e]) / static_cast<double>(total);
  }
  return share;
}

double DroppedShare(const ModelTrace& trace) {
  int64_t dropped = 0, all = 0;
  for (const auto& [layer, count] : trace.dropped) {
    dropped += count;
    for (const std::vector<uint16_t>& window : trace.experts.at(layer)) all += static_cast<int64_t>(window.size());
  }
  return all == 0 ? 0 : static_cast<double>(dropped) / static_cast<double>(all);
}

}  // namespace eaq

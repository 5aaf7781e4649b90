#include "eaq/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

// State file: magic, seed, step, size (int64 each), then params, m, v (float32, size each), in native order.
constexpr char kMagic[9] = "EAQTRN01";

absl::Status SaveState(const std::string& path, uint64_t seed, const AdamW& adamw, const Buffer<float>& params) {
  const uint64_t head[3] = {seed, static_cast<uint64_t>(adamw.step), params.size()};
  std::string bytes(kMagic, 8);
  bytes.append(reinterpret_cast<const char*>(head), sizeof(head));
  for (const float* v : {params.data(), adamw.m.data(), adamw.v.data()})
    bytes.append(reinterpret_cast<const char*>(v), params.size() * sizeof(float));
  return WriteFileAtomic(path, bytes);
}

absl::Status LoadState(const std::string& path, uint64_t seed, AdamW* adamw, Buffer<float>* params) {
  EAQ_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  uint64_t head[3];
  const size_t size = params->size(), expected = 8 + sizeof(head) + 3 * size * sizeof(float);
  if (bytes.size() != expected || std::memcmp(bytes.data(), kMagic, 8) != 0)
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a training state of this model: expected ", expected,
                                                   " bytes, found ", bytes.size(), "; name another file"));
  std::memcpy(head, bytes.data() + 8, sizeof(head));
  if (head[0] != seed || head[2] != size)
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": training state of another run: expected seed ", seed, ", found ", head[0]));
  adamw->step = static_cast<int64_t>(head[1]);
  const char* at = bytes.data() + 8 + sizeof(head);
  for (float* v : {params->data(), adamw->m.data(), adamw->v.data()}) {
    std::memcpy(v, at, size * sizeof(float));
    at += size * sizeof(float);
  }
  return absl::OkStatus();
}

absl::Status Check(const TrainSpec& spec, const std::vector<TrainStream>& streams) {
  EAQ_RETURN_IF_ERROR(CheckTrainable(spec.model));
  if (spec.steps < 1 || spec.shards < 1 || spec.context < 1 || spec.warmup < 1 || spec.windows_per_step < 1 ||
      spec.checkpoint_every < 1 || spec.windows_per_step % spec.shards != 0)
    return absl::InvalidArgumentError("training: expected positive counts and windows_per_step divisible by shards");
  if (streams.empty()) return absl::InvalidArgumentError("training: no text");
  for (size_t s = 0; s < streams.size(); ++s) {
    if (static_cast<int64_t>(streams[s].ids.size()) <= spec.context || !(streams[s].weight > 0))
      return absl::InvalidArgumentError(absl::StrCat("training: text ", s, ": expected more than ", spec.context,
                                                     " tokens and a positive weight, found ", streams[s].ids.size(),
                                                     " tokens, weight ", streams[s].weight));
    for (const uint16_t id : streams[s].ids)
      if (id >= spec.model.vocab_size)
        return absl::InvalidArgumentError(absl::StrCat("training: text ", s, ": token ", id,
                                                       " outside of the vocabulary of ", spec.model.vocab_size));
  }
  return absl::OkStatus();
}

std::vector<const uint16_t*> WindowsOfStep(const TrainSpec& spec, const std::vector<TrainStream>& streams,
                                           int64_t step) {
  Rng rng(spec.seed, absl::StrCat("train/step/", step));
  double total = 0;
  for (const TrainStream& s : streams) total += s.weight;
  std::vector<const uint16_t*> windows;
  for (int64_t w = 0; w < spec.windows_per_step; ++w) {
    double u = rng.Uniform() * total;
    size_t s = 0;
    while (s + 1 < streams.size() && u >= streams[s].weight) u -= streams[s++].weight;
    windows.push_back(streams[s].ids.data() + rng.Below(streams[s].ids.size() - spec.context));
  }
  return windows;
}

}  // namespace

absl::Status RunTraining(const TrainSpec& spec, const std::vector<TrainStream>& streams, const std::string& state,
                         ThreadPool* pool, const std::function<void(const TrainProgress&)>& report,
                         Buffer<float>* params) {
  EAQ_RETURN_IF_ERROR(Check(spec, streams));
  const ParameterLayout layout(spec.model);
  *params = InitialParameters(layout, spec.seed);
  AdamW adamw(layout, spec.adamw);
  if (!state.empty() && FileExists(state)) EAQ_RETURN_IF_ERROR(LoadState(state, spec.seed, &adamw, params));
  const int64_t per_shard = spec.windows_per_step / spec.shards;
  std::vector<std::unique_ptr<Gradients<float>>> work;
  std::vector<Buffer<float>> gradient(spec.shards, Buffer<float>(layout.size));
  std::vector<LossParts> loss(spec.shards);
  for (int64_t s = 0; s < spec.shards; ++s)
    work.push_back(std::make_unique<Gradients<float>>(layout, per_shard, spec.context));
  const LossOptions options{.balance = spec.balance, .z = spec.z, .scale = 1.0 / spec.shards};
  const int64_t last = spec.stop_after < 0 ? spec.steps : std::min(spec.steps, spec.stop_after), first = adamw.step;
  const auto start = std::chrono::steady_clock::now();
  while (adamw.step < last) {
    const std::vector<const uint16_t*> windows = WindowsOfStep(spec, streams, adamw.step + 1);
    pool->ParallelFor(spec.shards, [&](int64_t s) {
      std::fill(gradient[s].begin(), gradient[s].end(), 0.0f);
      loss[s] = work[s]->LossAndGradients(params->data(),
                                          {windows.begin() + s * per_shard, windows.begin() + (s + 1) * per_shard},
                                          options, gradient[s].data());
    });
    TrainProgress progress;
    std::vector<int64_t> use(work[0]->expert_use().size(), 0);
    for (int64_t s = 0; s < spec.shards; ++s) {
      for (size_t e = 0; e < use.size(); ++e) use[e] += work[s]->expert_use()[e];
      progress.loss.nll += loss[s].nll / spec.shards;
      progress.loss.balance += loss[s].balance / spec.shards;
      progress.loss.z += loss[s].z / spec.shards;
    }
    const double rate = LearningRate(spec.learning_rate, adamw.step + 1, spec.warmup, spec.steps);
    progress.gradient_norm = adamw.Step(gradient, rate, *pool, *params);
    if (!(progress.gradient_norm < 1e30))
      return absl::InternalError(absl::StrCat("training diverged at step ", adamw.step, "; lower the learning rate"));
    const double seconds = SecondsSince(start);
    progress.step = adamw.step, progress.steps = spec.steps;
    progress.tokens_per_second = (adamw.step - first) * spec.windows_per_step * spec.context / seconds;
    progress.seconds_left = (last - adamw.step) * seconds / (adamw.step - first);
    progress.least_used = *std::min_element(use.begin(), use.end());
    progress.most_used = *std::max_element(use.begin(), use.end());
    progress.learning_rate = rate;
    if (report) report(progress);
    if (!state.empty() && (adamw.step % spec.checkpoint_every == 0 || adamw.step == last))
      EAQ_RETURN_IF_ERROR(SaveState(state, spec.seed, adamw, *params));
  }
  return absl::OkStatus();
}

}  // namespace eaq

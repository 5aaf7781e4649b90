#include "tools/bench_train.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/linear_shapes.h"
#include "eaq/train/trainer.h"

namespace eaq {
namespace {

struct Shape {
  const char* name;
  int64_t vocabulary, hidden, expert_width, windows;
};
constexpr Shape kShapes[] = {{"2.1M", 2048, 128, 64, 16}, {"8.4M", 4096, 256, 128, 8}};

TrainSpec SpecOf(const Shape& shape) {
  TrainSpec spec;
  ModelConfig& c = spec.model;
  c.model_type = "olmoe";
  c.vocab_size = shape.vocabulary;
  c.hidden_size = shape.hidden;
  c.num_layers = c.num_heads = c.num_kv_heads = 4;
  c.head_dim = shape.hidden / 4;
  c.num_experts = 16;
  c.experts_per_token = 2;
  c.expert_width = shape.expert_width;
  c.norm_topk_prob = c.tie_word_embeddings = true;
  c.qk_norm = QkNorm::kFullWidth;
  c.max_position_embeddings = 256;
  spec.steps = 9;
  spec.windows_per_step = shape.windows;
  return spec;
}

}  // namespace

absl::Status BenchTraining(int64_t repeats, Json* out) {
  ThreadPool pool(AvailableProcessors());
  for (const Shape& shape : kShapes) {
    const TrainSpec spec = SpecOf(shape);
    Rng rng(1, "bench/train");
    std::vector<TrainStream> streams(1);
    for (int i = 0; i < 100000; ++i) streams[0].ids.push_back(static_cast<uint16_t>(rng.Below(shape.vocabulary)));
    std::vector<double> speed;
    for (int64_t r = 0; r <= repeats; ++r) {
      // From the end of the first step, which touches fresh memory, to the end of the last.
      std::chrono::steady_clock::time_point first, last;
      Buffer<float> params;
      const auto watch = [&](const TrainProgress& p) {
        last = std::chrono::steady_clock::now();
        if (p.step == 1) first = last;
      };
      EAQ_RETURN_IF_ERROR(RunTraining(spec, streams, "", &pool, watch, &params));
      const double tokens = static_cast<double>((spec.steps - 1) * spec.windows_per_step * spec.context);
      if (r > 0) speed.push_back(tokens / std::chrono::duration<double>(last - first).count());  // run 0 warms up
    }
    std::sort(speed.begin(), speed.end());
    (*out)["training"][shape.name] = {{"parameters", CountParameters(spec.model).total},
                                      {"threads", pool.threads()},
                                      {"tokens_per_second", speed[speed.size() / 2]}};
  }
  return absl::OkStatus();
}

}  // namespace eaq

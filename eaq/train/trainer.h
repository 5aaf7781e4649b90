// Trains a model on token streams, with checkpoints.
//
//   TrainSpec spec;  spec.model = ...;  spec.steps = 16000;
//   EAQ_RETURN_IF_ERROR(RunTraining(spec, streams, "/tmp/run/state", &pool, sink, &params));
//
// Reproducible: the result depends on (spec, streams) alone, not on the number of threads (a fixed number of shards,
// added in order) nor on interruptions (the windows of a step are a function of the seed and the step).
#ifndef EAQ_TRAIN_TRAINER_H_
#define EAQ_TRAIN_TRAINER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "eaq/base/buffer.h"
#include "eaq/base/thread_pool.h"
#include "eaq/train/adamw.h"
#include "eaq/train/gradients.h"

namespace eaq {

struct TrainSpec {
  ModelConfig model;
  int64_t steps = 0;  // in all; the schedule ends there
  int64_t warmup = 100;
  int64_t windows_per_step = 16;  // divisible by shards
  int64_t shards = 2;
  int64_t context = 256;
  double learning_rate = 4e-3;
  double balance = 0.01, z = 0.001;
  AdamWOptions adamw;
  uint64_t seed = 1;
  int64_t checkpoint_every = 500;  // steps
  int64_t stop_after = -1;         // stop, checkpoint written, after this step; -1: at the end
};

// One domain's tokens; a window comes from it with probability WEIGHT / sum of weights, from a uniform position.
struct TrainStream {
  std::vector<uint16_t> ids;  // more than context
  double weight = 1;
};

struct TrainProgress {
  int64_t step = 0, steps = 0;
  LossParts loss;  // of this step
  double gradient_norm = 0, learning_rate = 0, tokens_per_second = 0, seconds_left = 0;
  int64_t least_used = 0, most_used = 0;  // choices of the least and most chosen expert of any layer in this step
};

// Starts from STATE when that file exists (InvalidArgument if it belongs to another model or seed), else from the
// initial parameters; writes STATE atomically every checkpoint_every steps and at the end. An empty STATE: no
// checkpoints. PARAMS receives the result. REPORT is called after every step, before STATE is written for it: what it
// keeps is never older than STATE.
absl::Status RunTraining(const TrainSpec& spec, const std::vector<TrainStream>& streams, const std::string& state,
                         ThreadPool* pool, const std::function<void(const TrainProgress&)>& report,
                         Buffer<float>* params);

}  // namespace eaq

#endif  // EAQ_TRAIN_TRAINER_H_

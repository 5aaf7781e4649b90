// The training part of `eaq bench`: tokens per second of forward, backward and AdamW on synthetic text.
#ifndef TOOLS_BENCH_TRAIN_H_
#define TOOLS_BENCH_TRAIN_H_

#include <cstdint>

#include "absl/status/status.h"
#include "eaq/base/json.h"

namespace eaq {

// Adds OUT["training"]: for the two configurations of specs/data_and_training.md section 3 the parameters and the
// median over REPEATS runs of 8 steps (16 and 8 windows of 256 tokens a step) on all processors.
absl::Status BenchTraining(int64_t repeats, Json* out);

}  // namespace eaq

#endif  // TOOLS_BENCH_TRAIN_H_

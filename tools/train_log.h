// train_log.tsv: the loss curve of a training run, kept beside its checkpoint.
//
//   step  tokens  nll  balance  z  gradient_norm  least_used  most_used  learning_rate     (parted by tabs)
//
// A header line, then one row every 100 steps and one for the last step. nll, balance, z and gradient_norm are means
// over the steps since the row before; least_used and most_used the extremes over them (choices of an expert of any
// layer in one step); tokens are those seen so far; learning_rate is the last step's.
#ifndef TOOLS_TRAIN_LOG_H_
#define TOOLS_TRAIN_LOG_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/train/trainer.h"

namespace eaq {

inline constexpr int64_t kTrainLogEvery = 100;  // steps; checkpoints stand at multiples of it

// What a reader of the curve needs.
struct TrainLogRow {
  int64_t step = 0, tokens = 0;
  double nll = 0;
};

// TEXT is the file's content, NAME its path, for messages. The columns step, tokens and nll are needed, in any order;
// others are not read. Lines that begin with '#' are comments. InvalidArgument with NAME:line for a line that is no
// row, for steps that do not rise and for a nll that is not finite.
absl::StatusOr<std::vector<TrainLogRow>> ParseTrainLog(absl::string_view text, const std::string& name);

// The same, read from PATH.
absl::StatusOr<std::vector<TrainLogRow>> ReadTrainLog(const std::string& path);

class TrainLog {
 public:
  // Reads PATH when it exists. InvalidArgument: it is not a log that this class wrote.
  static absl::StatusOr<TrainLog> Open(const std::string& path, int64_t tokens_per_step);

  // To be called after every step. The first call drops the rows of its step and later ones: a run that goes on from
  // an earlier checkpoint makes them anew. A row that is due is written at once, atomically.
  absl::Status Add(const TrainProgress& progress);

 private:
  TrainLog(std::string path, int64_t tokens_per_step) : path_(std::move(path)), tokens_per_step_(tokens_per_step) {}

  std::string path_;
  int64_t tokens_per_step_;
  std::vector<std::pair<int64_t, std::string>> rows_;  // step, line
  int64_t count_ = 0;                                  // steps since the last row
  bool began_ = false;
  TrainProgress sum_;
};

}  // namespace eaq

#endif  // TOOLS_TRAIN_LOG_H_

// The loss curve of a training run, OUT/train_log.tsv: a header line, then a row for every 100 steps (and the last).
// Lines that start with # are remarks.
//
//   TrainLog log(path);                        // reads what an interrupted run left
//   for every step: log.Add(step, tokens, nll);
//   EAQ_RETURN_IF_ERROR(log.status());
#ifndef TOOLS_TRAIN_LOG_H_
#define TOOLS_TRAIN_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace eaq {

struct TrainLogRow {
  int64_t step = 0;
  int64_t tokens = 0;  // seen so far
  double nll = 0;      // nats per token, mean over the steps since the row before
};

// Errors name file and line.
absl::StatusOr<std::vector<TrainLogRow>> ReadTrainLog(const std::string& path);

class TrainLog {
 public:
  // A file that is there belongs to the same run: its rows before the first step added are kept.
  explicit TrainLog(std::string path);
  // One step, in order. Every 100 steps, and at LAST, the file is written.
  void Add(int64_t step, int64_t tokens, double nll, bool last);
  const absl::Status& status() const { return status_; }

 private:
  const std::string path_;
  std::vector<TrainLogRow> rows_;
  absl::Status status_;
  bool started_ = false;
  double sum_ = 0;
  int64_t count_ = 0;
};

}  // namespace eaq

#endif  // TOOLS_TRAIN_LOG_H_

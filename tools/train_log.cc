#include "tools/train_log.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr char kHeader[] = "step\ttokens\tnll";

}  // namespace

absl::StatusOr<std::vector<TrainLogRow>> ReadTrainLog(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<TrainLogRow> rows;
  int64_t line_number = 0;
  bool header = false;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    ++line_number;
    if (line[0] == '#') continue;  // a remark
    if (!header) {
      header = line == kHeader;
      if (header) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          path, ":", line_number, ": expected the header \"step<tab>tokens<tab>nll\", found \"", line, "\""));
    }
    const std::vector<absl::string_view> fields = absl::StrSplit(line, '\t');
    TrainLogRow row;
    if (fields.size() != 3 || !absl::SimpleAtoi(fields[0], &row.step) || !absl::SimpleAtoi(fields[1], &row.tokens) ||
        !absl::SimpleAtod(fields[2], &row.nll) || (!rows.empty() && row.step <= rows.back().step)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", line_number, ": expected a later step, tokens and nll, found \"", line, "\""));
    }
    rows.push_back(row);
  }
  return rows;
}

TrainLog::TrainLog(std::string path) : path_(std::move(path)) {
  if (!FileExists(path_)) return;
  auto rows = ReadTrainLog(path_);
  status_ = rows.status();
  if (rows.ok()) rows_ = *std::move(rows);
}

void TrainLog::Add(int64_t step, int64_t tokens, double nll, bool last) {
  if (!status_.ok()) return;
  if (!started_) {
    while (!rows_.empty() && rows_.back().step >= step) rows_.pop_back();
    started_ = true;
  }
  sum_ += nll;
  ++count_;
  if (step % 100 != 0 && !last) return;
  rows_.push_back({step, tokens, sum_ / static_cast<double>(count_)});
  sum_ = 0;
  count_ = 0;
  std::string text = absl::StrCat(kHeader, "\n");
  for (const TrainLogRow& row : rows_) absl::StrAppendFormat(&text, "%d\t%d\t%.4f\n", row.step, row.tokens, row.nll);
  status_ = WriteFileAtomic(path_, text);
}

}  // namespace eaq

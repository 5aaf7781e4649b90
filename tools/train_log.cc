#include "tools/train_log.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr char kHeader[] = "step\ttokens\tnll\tbalance\tz\tgradient_norm\tleast_used\tmost_used\tlearning_rate\n";

}  // namespace

absl::StatusOr<std::vector<TrainLogRow>> ParseTrainLog(absl::string_view text, const std::string& name) {
  std::vector<TrainLogRow> rows;
  int64_t number = 0, step_at = -1, tokens_at = -1, nll_at = -1;
  size_t columns = 0;
  const auto wrong = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":", number, ": ", what...));
  };
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    absl::ConsumeSuffix(&line, "\r");
    if (line.empty() || line[0] == '#') continue;
    const std::vector<absl::string_view> cells = absl::StrSplit(line, '\t');
    if (columns == 0) {
      columns = cells.size();
      for (size_t i = 0; i < columns; ++i) {
        if (cells[i] == "step") step_at = i;
        if (cells[i] == "tokens") tokens_at = i;
        if (cells[i] == "nll") nll_at = i;
      }
      if (step_at < 0 || tokens_at < 0 || nll_at < 0)
        return wrong("expected a header with the columns step, tokens and nll, parted by tabs, found \"", line, "\"");
      continue;
    }
    TrainLogRow row;
    if (cells.size() != columns) return wrong("expected ", columns, " columns, found ", cells.size());
    if (!absl::SimpleAtoi(cells[step_at], &row.step) || !absl::SimpleAtoi(cells[tokens_at], &row.tokens) ||
        !absl::SimpleAtod(cells[nll_at], &row.nll) || !std::isfinite(row.nll))
      return wrong("expected whole numbers for step and tokens and a finite nll, found \"", line, "\"");
    if (row.step < 1 || row.tokens < 1 ||
        (!rows.empty() && (row.step <= rows.back().step || row.tokens <= rows.back().tokens)))
      return wrong("expected steps and tokens above 0 that rise from row to row, found step ", row.step, ", ",
                   row.tokens, " tokens");
    rows.push_back(row);
  }
  if (columns == 0) return absl::InvalidArgumentError(absl::StrCat(name, ": expected a header line, found no line"));
  return rows;
}

absl::StatusOr<std::vector<TrainLogRow>> ReadTrainLog(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseTrainLog(text, path);
}

absl::StatusOr<TrainLog> TrainLog::Open(const std::string& path, int64_t tokens_per_step) {
  TrainLog log(path, tokens_per_step);
  if (!FileExists(path)) return log;
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, kHeader) || !absl::EndsWith(text, "\n") || absl::StrContains(text, "\n#"))
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a log of this program: expected the header \"",
                                                   absl::StripSuffix(kHeader, "\n"), "\"; move the file away"));
  EAQ_ASSIGN_OR_RETURN(const std::vector<TrainLogRow> rows, ParseTrainLog(text, path));
  const std::vector<std::string> lines = absl::StrSplit(rest, '\n', absl::SkipEmpty());
  for (size_t i = 0; i < rows.size(); ++i) log.rows_.emplace_back(rows[i].step, lines[i]);
  return log;
}

absl::Status TrainLog::Add(const TrainProgress& p) {
  if (!began_) {
    while (!rows_.empty() && rows_.back().first >= p.step) rows_.pop_back();
    began_ = true;
  }
  if (count_ == 0) {
    sum_ = p;
  } else {
    sum_.loss.nll += p.loss.nll;
    sum_.loss.balance += p.loss.balance;
    sum_.loss.z += p.loss.z;
    sum_.gradient_norm += p.gradient_norm;
    sum_.least_used = std::min(sum_.least_used, p.least_used);
    sum_.most_used = std::max(sum_.most_used, p.most_used);
  }
  ++count_;
  if (p.step % kTrainLogEvery != 0 && p.step != p.steps) return absl::OkStatus();
  const double n = static_cast<double>(count_);
  rows_.emplace_back(p.step,
                     absl::StrFormat("%d\t%d\t%.6f\t%.6f\t%.6f\t%.6f\t%d\t%d\t%.8g", p.step, p.step * tokens_per_step_,
                                     sum_.loss.nll / n, sum_.loss.balance / n, sum_.loss.z / n, sum_.gradient_norm / n,
                                     sum_.least_used, sum_.most_used, p.learning_rate));
  count_ = 0;
  std::string text = kHeader;
  for (const auto& [step, line] : rows_) absl::StrAppend(&text, line, "\n");
  return WriteFileAtomic(path_, text);
}

}  // namespace eaq

#include "eaq/eval/choice_trace.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/eval/score.h"

namespace eaq {
namespace {

// A common front shorter than this is not worth a second call of every layer.
constexpr int64_t kLeastShared = 8;
// Advance(Forward) calls with items until it has so many rows: several batches of a device, little memory beside all.
constexpr int64_t kRowsOfCall = 8192;
// Items that one turn of a thread scores.
constexpr int64_t kBlock = 16;

// What the model reads of CHOICE. The last token is only predicted; of minimal pairs it has always been read too.
absl::Span<const int32_t> InputOf(const ChoiceTask& task, const ChoiceTask::Choice& choice) {
  const absl::Span<const int32_t> ids(choice.ids);
  return task.kind == EvaluationTask::KIND_NOT_SET ? ids : ids.first(ids.size() - 1);
}

int64_t SharedLength(const ChoiceTask& task, const ChoiceTask::Item& item) {
  if (task.kind == EvaluationTask::KIND_NOT_SET || item.choices.size() < 2) return 0;
  absl::Span<const int32_t> common = InputOf(task, item.choices[0]);
  for (const ChoiceTask::Choice& choice : item.choices) {
    const absl::Span<const int32_t> own = InputOf(task, choice);
    size_t n = 0;
    while (n < common.size() && n < own.size() && common[n] == own[n]) ++n;
    common = common.first(n);
  }
  const int64_t n = common.size();
  return n < kLeastShared ? 0 : n;
}

}  // namespace

ChoiceTracer::ChoiceTracer(const ModelEnds& ends, absl::Span<const ChoiceTask> tasks, ThreadPool& pool)
    : ends_(ends), tasks_(tasks) {
  for (const ChoiceTask& task : tasks) {
    for (size_t i = 0; i < task.items.size(); ++i) runs_.push_back({&task, static_cast<int64_t>(i), Matrix(), {}});
  }
  const int64_t width = ends.config().hidden_size;
  pool.ParallelFor(runs_.size(), [&](int64_t r) {
    Run& run = runs_[r];
    const ChoiceTask::Item& item = run.task->items[run.item];
    const int64_t shared = SharedLength(*run.task, item);
    if (shared > 0) {
      run.shared = Matrix(shared, width);
      ends_.Embed(InputOf(*run.task, item.choices[0]).first(shared), run.shared.view());
    }
    for (const ChoiceTask::Choice& choice : item.choices) {
      const absl::Span<const int32_t> own = InputOf(*run.task, choice).subspan(shared);
      run.branches.emplace_back(own.size(), width);
      ends_.Embed(own, run.branches.back().view());
    }
  });
}

void ChoiceTracer::Advance(const DecoderLayer& decoder, ThreadPool& pool) {
  const int64_t width = ends_.config().num_kv_heads * ends_.config().head_dim;
  pool.ParallelFor(runs_.size(), [&](int64_t r) {
    Run& run = runs_[r];
    const int64_t shared = run.shared.rows();
    if (shared == 0) {
      for (Matrix& branch : run.branches) decoder.Forward(branch.view());
      return;
    }
    int64_t longest = 0;
    for (const Matrix& branch : run.branches) longest = std::max(longest, branch.rows());
    static thread_local LayerCache cache;
    cache.keys.Resize(shared + longest, width);
    cache.values.Resize(shared + longest, width);
    cache.length = 0;
    decoder.ForwardCached(run.shared.view(), cache);
    for (Matrix& branch : run.branches) {
      cache.length = shared;  // the rows of the candidate before are written over
      decoder.ForwardCached(branch.view(), cache);
    }
  });
}

absl::Status ChoiceTracer::Advance(Forward forward) {
  for (size_t first = 0; first < runs_.size();) {
    size_t end = first;
    int64_t rows = 0;
    std::vector<int64_t> lengths;
    std::vector<uint8_t> branches;
    while (end < runs_.size() && rows < kRowsOfCall) {
      EachSequence(runs_[end++], [&](const Matrix& sequence, bool branch) {
        lengths.push_back(sequence.rows());
        branches.push_back(branch ? 1 : 0);
        rows += sequence.rows();
      });
    }
    Matrix all(rows, ends_.config().hidden_size);
    const auto each = [&](const auto& copy) {
      int64_t row = 0;
      for (size_t r = first; r < end; ++r) {
        EachSequence(runs_[r], [&](Matrix& sequence, bool) {
          copy(all.row(row), sequence.data(), sequence.size());
          row += sequence.rows();
        });
      }
    };
    each([](float* together, float* own, int64_t n) { std::copy_n(own, n, together); });
    EAQ_RETURN_IF_ERROR(forward(all.view(), lengths, branches));
    each([](float* together, float* own, int64_t n) { std::copy_n(together, n, own); });
    first = end;
  }
  return absl::OkStatus();
}

int64_t ChoiceTracer::most_keys() const {
  int64_t most = 0;
  for (const Run& run : runs_) {
    int64_t keys = 0;
    EachSequence(
        run, [&](const Matrix& sequence, bool branch) { keys += sequence.rows() + (branch ? run.shared.rows() : 0); });
    most = std::max(most, keys);
  }
  return most;
}

absl::StatusOr<ChoiceScore> ChoiceTracer::ScoreOf(const Run& run, size_t choice) const {
  const ChoiceTask::Choice& c = run.task->items[run.item].choices[choice];
  const absl::Span<const int32_t> targets = absl::Span<const int32_t>(c.ids).subspan(c.first);
  const int64_t shared = run.shared.rows();
  Matrix rows(targets.size(), ends_.config().hidden_size);  // token t is predicted from the hidden state of t - 1
  for (int64_t r = 0; r < rows.rows(); ++r) {
    const int64_t at = c.first - 1 + r;
    const float* from = at < shared ? run.shared.row(at) : run.branches[choice].row(at - shared);
    std::memcpy(rows.row(r), from, rows.cols() * sizeof(float));
  }
  const auto score = ScoreTargets(ends_, targets, rows.const_view(), c.first);
  EAQ_RETURN_IF_ERROR(score.status());
  ChoiceScore out;
  for (const double log_prob : score->log_probs) out.log_likelihood += log_prob;
  out.greedy = score->greedy;
  return out;
}

absl::StatusOr<std::vector<std::vector<ChoiceScore>>> ChoiceTracer::Scores(ThreadPool& pool,
                                                                           ProgressSink& progress) const {
  std::vector<std::vector<ChoiceScore>> all;
  int64_t first = 0;
  const int64_t total = runs_.size();
  for (const ChoiceTask& task : tasks_) {
    progress.Update("evaluate", first, total);
    const int64_t n = task.items.size();
    std::vector<std::vector<ChoiceScore>> of_item(n);
    std::vector<absl::Status> status(n);
    pool.ParallelFor((n + kBlock - 1) / kBlock, [&](int64_t block) {
      for (int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
        for (size_t c = 0; c < task.items[i].choices.size() && status[i].ok(); ++c) {
          const auto score = ScoreOf(runs_[first + i], c);
          if (score.ok()) {
            of_item[i].push_back(*score);
          } else {
            status[i] = Annotate(score.status(), WhereOf(task, i, c));
          }
        }
      }
    });
    for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);
    std::vector<ChoiceScore>& scores = all.emplace_back();
    for (const std::vector<ChoiceScore>& item : of_item) scores.insert(scores.end(), item.begin(), item.end());
    first += n;
  }
  progress.Update("evaluate", total, total);
  return all;
}

int64_t ChoiceTracer::tokens() const {
  int64_t tokens = 0;
  for (const Run& run : runs_) {
    tokens += run.shared.rows();
    for (const Matrix& branch : run.branches) tokens += branch.rows();
  }
  return tokens;
}

int64_t ChoiceTracer::tokens_alone() const {
  int64_t tokens = 0;
  for (const Run& run : runs_) {
    for (const Matrix& branch : run.branches) tokens += run.shared.rows() + branch.rows();
  }
  return tokens;
}

}  // namespace eaq

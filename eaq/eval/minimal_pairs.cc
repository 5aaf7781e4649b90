#include "eaq/eval/minimal_pairs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/eval/metric.h"
#include "eaq/eval/score.h"

namespace eaq {
namespace {

// Sentences that one turn of a thread scores.
constexpr int64_t kBlock = 64;

// "task blimp, paradigm wh_island, pair 17, the good sentence" of sentence INDEX.
std::string Where(const PairTask& task, int64_t index) {
  int64_t pair = index / 2;
  size_t p = 0;
  while (p + 1 < task.paradigms.size() && pair >= task.paradigms[p].pairs) pair -= task.paradigms[p++].pairs;
  return absl::StrCat("task ", task.name, ", paradigm ", task.paradigms[p].id, ", pair ", pair, ", the ",
                      index % 2 == 0 ? "good" : "bad", " sentence");
}

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

}  // namespace

absl::StatusOr<int32_t> PrefixToken(const Tokenizer& tokenizer, const std::string& asked_for) {
  if (!asked_for.empty()) {
    const int32_t id = tokenizer.TokenId(asked_for);
    if (id >= 0) return id;
    return absl::FailedPreconditionError(
        absl::StrCat("prefix_token \"", asked_for, "\" is no token of the model's tokenizer.json"));
  }
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> special, tokenizer.Encode("", /*add_special_tokens=*/true));
  if (!special.empty()) return special[0];
  const int32_t id = tokenizer.TokenId("<|endoftext|>");
  if (id >= 0) return id;
  return absl::FailedPreconditionError(
      "the tokenizer adds no BOS and has no token \"<|endoftext|>\": there is nothing that a sentence could follow; "
      "name one in the task: prefix_token: \"...\"");
}

absl::StatusOr<PairTask> MakePairTask(const PairSet& pairs, const EvaluationTask& spec, const Tokenizer& tokenizer,
                                      int64_t vocab_size, ThreadPool& pool) {
  const auto prefix = PrefixToken(tokenizer, spec.prefix_token());
  EAQ_RETURN_IF_ERROR(Annotate(prefix.status(), absl::StrCat("task ", spec.name())));
  PairTask task;
  task.name = spec.name();
  task.protocol = spec.protocol();
  const char* before = spec.protocol() == EvaluationTask::LM_EVAL ? " " : "";
  std::vector<const std::string*> texts;
  for (const Paradigm& paradigm : pairs.paradigms) {
    int64_t n = paradigm.pairs.size();
    if (spec.max_items_per_paradigm() > 0) n = std::min<int64_t>(n, spec.max_items_per_paradigm());
    task.paradigms.push_back({paradigm.id, paradigm.phenomenon, n});
    for (int64_t i = 0; i < n; ++i) {
      texts.push_back(&paradigm.pairs[i].good);
      texts.push_back(&paradigm.pairs[i].bad);
    }
  }
  task.sentences.resize(texts.size());
  std::vector<absl::Status> status(texts.size());
  pool.ParallelFor(texts.size(), [&](int64_t s) {
    const auto ids = tokenizer.Encode(absl::StrCat(before, *texts[s]));
    status[s] = ids.status();
    if (!ids.ok()) return;
    std::vector<int32_t>& sentence = task.sentences[s];
    sentence.reserve(ids->size() + 1);
    if (ids->empty() || ids->front() != *prefix) sentence.push_back(*prefix);
    sentence.insert(sentence.end(), ids->begin(), ids->end());
  });
  for (size_t s = 0; s < texts.size(); ++s) {
    EAQ_RETURN_IF_ERROR(Annotate(status[s], Where(task, s)));
    if (task.sentences[s].size() < 2) {
      return absl::InvalidArgumentError(absl::StrCat(Where(task, s), ": no token to score in \"", *texts[s], "\""));
    }
    for (const int32_t id : task.sentences[s]) {
      if (id >= 0 && id < vocab_size) continue;
      return absl::FailedPreconditionError(absl::StrCat(Where(task, s), ": token id ", id,
                                                        " is outside of the model's vocabulary of ", vocab_size,
                                                        "; does tokenizer.json belong to this model?"));
    }
  }
  return task;
}

std::vector<absl::Span<const int32_t>> PairWindows(absl::Span<const PairTask> tasks) {
  std::vector<absl::Span<const int32_t>> windows;
  for (const PairTask& task : tasks) windows.insert(windows.end(), task.sentences.begin(), task.sentences.end());
  return windows;
}

absl::StatusOr<std::vector<std::vector<double>>> SentenceScores(const ModelEnds& ends, absl::Span<const PairTask> tasks,
                                                                const ModelTrace& trace, ThreadPool& pool,
                                                                ProgressSink& progress) {
  const int64_t total = PairWindows(tasks).size();
  if (static_cast<int64_t>(trace.hidden.size()) != total) {
    return absl::InvalidArgumentError(
        absl::StrCat("a trace of ", trace.hidden.size(), " windows; expected the ", total, " sentences of the tasks"));
  }
  std::vector<std::vector<double>> all;
  int64_t first = 0;
  for (const PairTask& task : tasks) {
    progress.Update("evaluate", first, total);
    const int64_t n = task.sentences.size();
    std::vector<double> scores(n);
    std::vector<absl::Status> status(n);
    pool.ParallelFor((n + kBlock - 1) / kBlock, [&](int64_t block) {
      for (int64_t s = block * kBlock; s < std::min(n, (block + 1) * kBlock); ++s) {
        const auto score = ScoreWindow(ends, task.sentences[s], trace.hidden[first + s].view());
        status[s] = score.status();
        if (!score.ok()) continue;
        for (const double log_prob : score->log_probs) scores[s] += log_prob;
      }
    });
    for (int64_t s = 0; s < n; ++s) EAQ_RETURN_IF_ERROR(Annotate(status[s], Where(task, s)));
    all.push_back(std::move(scores));
    first += n;
  }
  progress.Update("evaluate", total, total);
  return all;
}

absl::Status AddPairResults(const PairTask& task, absl::Span<const double> scores, TrialResult& result) {
  if (scores.size() != task.sentences.size()) {
    return absl::InvalidArgumentError(absl::StrCat("task ", task.name, ": ", scores.size(), " scores; expected ",
                                                   task.sentences.size(), ", one a sentence"));
  }
  for (size_t s = 0; s < scores.size(); ++s) {
    if (std::isfinite(scores[s])) continue;
    return absl::DataLossError(absl::StrCat(Where(task, s), ": its log-likelihood is ", scores[s],
                                            ", expected a finite number; the model's weights or activations overflow"));
  }
  Series& series = *result.add_series();
  series.set_metric("correct");
  series.set_domain(task.name);
  series.mutable_value()->Reserve(static_cast<int>(scores.size() / 2));
  std::vector<double> accuracies;
  std::map<std::string, std::vector<double>> phenomena;
  int64_t ties = 0;
  size_t s = 0;
  for (const PairTask::Paradigm& paradigm : task.paradigms) {
    int64_t correct = 0;
    for (int64_t i = 0; i < paradigm.pairs; ++i, s += 2) {
      const bool tie = scores[s] == scores[s + 1];
      const bool right = scores[s] > scores[s + 1] || (tie && task.protocol == EvaluationTask::LM_EVAL);
      series.add_value(right ? 1 : 0);
      series.add_document(paradigm.id);
      correct += right;
      ties += tie;
    }
    accuracies.push_back(static_cast<double>(correct) / static_cast<double>(paradigm.pairs));
    phenomena[paradigm.phenomenon].push_back(accuracies.back());
  }
  AddMetric("accuracy", task.name, MeanOf(accuracies), result);
  std::vector<double> means;
  for (const auto& [phenomenon, parts] : phenomena) means.push_back(MeanOf(parts));
  AddMetric("accuracy_of_phenomena", task.name, MeanOf(means), result);
  AddMetric("ties", task.name, static_cast<double>(ties), result);
  for (size_t p = 0; p < accuracies.size(); ++p) {
    AddMetric("accuracy", absl::StrCat(task.name, "/", task.paradigms[p].id), accuracies[p], result);
  }
  size_t i = 0;
  for (const auto& [phenomenon, parts] : phenomena) {
    AddMetric("accuracy_of_phenomenon", absl::StrCat(task.name, "/", phenomenon), means[i++], result);
  }
  StageRun& run = *result.add_stage();
  run.set_stage(absl::StrCat("evaluate/", task.name));
  run.set_hash(Fingerprint("pairs/v1").Add(scores).Hex());
  return absl::OkStatus();
}

}  // namespace eaq

#include "eaq/eval/choice_results.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/proto/add_metric.h"

namespace eaq {
namespace {

double MeanOf(absl::Span<const double> values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

Series& AddSeries(const std::string& metric, const ChoiceTask& task, TrialResult& result) {
  Series& series = *result.add_series();
  series.set_metric(metric);
  series.set_domain(task.name);
  return series;
}

// VALUES, one an item, with the items' documents.
void AddItems(const std::string& metric, const ChoiceTask& task, absl::Span<const double> values, TrialResult& result) {
  Series& series = AddSeries(metric, task, result);
  for (size_t i = 0; i < values.size(); ++i) {
    series.add_value(values[i]);
    series.add_document(task.items[i].document);
  }
}

// The first of the largest values.
int Likeliest(absl::Span<const double> values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

void AddPairs(const ChoiceTask& task, absl::Span<const ChoiceScore> scores, TrialResult& result) {
  Series& series = AddSeries("correct", task, result);
  series.mutable_value()->Reserve(static_cast<int>(scores.size() / 2));
  std::vector<double> accuracies;
  std::map<std::string, std::vector<double>> phenomena;
  int64_t ties = 0;
  size_t s = 0;
  for (const ChoiceTask::Paradigm& paradigm : task.paradigms) {
    int64_t correct = 0;
    for (int64_t i = 0; i < paradigm.items; ++i, s += 2) {
      const double good = scores[s].log_likelihood, bad = scores[s + 1].log_likelihood;
      const bool right = good > bad || (good == bad && task.protocol == EvaluationTask::LM_EVAL);
      series.add_value(right ? 1 : 0);
      series.add_document(paradigm.id);
      correct += right;
      ties += good == bad;
    }
    accuracies.push_back(static_cast<double>(correct) / static_cast<double>(paradigm.items));
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
}

// The accuracies of the paradigms, where there are several. CORRECT: of all items.
void AddParadigms(const ChoiceTask& task, absl::Span<const double> correct, TrialResult& result) {
  if (task.paradigms.size() < 2) return;
  int64_t first = 0;
  for (const ChoiceTask::Paradigm& paradigm : task.paradigms) {
    AddMetric("accuracy", absl::StrCat(task.name, "/", paradigm.id), MeanOf(correct.subspan(first, paradigm.items)),
              result);
    first += paradigm.items;
  }
}

void AddChoices(const ChoiceTask& task, absl::Span<const ChoiceScore> scores, TrialResult& result) {
  std::vector<double> correct, by_characters, by_bytes;
  Series all;  // filed last: readers look for `correct` first
  int64_t ties = 0;
  size_t s = 0;
  for (const ChoiceTask::Item& item : task.items) {
    std::vector<double> ll, per_character, per_byte;
    for (const ChoiceTask::Choice& choice : item.choices) {
      ll.push_back(scores[s++].log_likelihood);
      per_character.push_back(ll.back() / static_cast<double>(choice.characters));
      per_byte.push_back(ll.back() / static_cast<double>(choice.bytes));
      all.add_value(ll.back());
      all.add_document(item.document);
    }
    const int likeliest = Likeliest(ll);
    correct.push_back(likeliest == item.gold);
    by_characters.push_back(Likeliest(per_character) == item.gold);
    by_bytes.push_back(Likeliest(per_byte) == item.gold);
    ties += std::count(ll.begin(), ll.end(), ll[likeliest]) > 1;
  }
  AddItems("correct", task, correct, result);
  AddItems("correct_norm", task, by_characters, result);
  AddSeries("log_likelihood", task, result).MergeFrom(all);
  AddMetric("accuracy", task.name, MeanOf(correct), result);
  AddMetric("accuracy_norm", task.name, MeanOf(by_characters), result);
  AddMetric("accuracy_bytes", task.name, MeanOf(by_bytes), result);
  AddMetric("ties", task.name, static_cast<double>(ties), result);
  AddMetric("chance", task.name, task.chance, result);
  AddMetric("constant", task.name, task.constant, result);
  AddParadigms(task, correct, result);
}

void AddLastWords(const ChoiceTask& task, absl::Span<const ChoiceScore> scores, TrialResult& result) {
  std::vector<double> correct, ll;
  for (const ChoiceScore& score : scores) {
    correct.push_back(score.greedy);
    ll.push_back(score.log_likelihood);
  }
  AddItems("correct", task, correct, result);
  AddItems("log_likelihood", task, ll, result);
  AddMetric("accuracy", task.name, MeanOf(correct), result);
  AddMetric("word_perplexity", task.name, std::exp(-MeanOf(ll)), result);
  AddMetric("chance", task.name, task.chance, result);
  AddParadigms(task, correct, result);
}

}  // namespace

absl::Status AddChoiceResults(const ChoiceTask& task, absl::Span<const ChoiceScore> scores, TrialResult& result) {
  size_t expected = 0;
  for (const ChoiceTask::Item& item : task.items) expected += item.choices.size();
  if (scores.size() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("task ", task.name, ": ", scores.size(), " scores; expected ", expected, ", one a candidate"));
  }
  std::vector<double> values;
  values.reserve(scores.size());
  for (size_t i = 0; i < task.items.size(); ++i) {
    for (size_t c = 0; c < task.items[i].choices.size(); ++c) {
      values.push_back(scores[values.size()].log_likelihood);
      if (std::isfinite(values.back())) continue;
      return absl::DataLossError(
          absl::StrCat(WhereOf(task, i, c), ": its log-likelihood is ", values.back(),
                       ", expected a finite number; the model's weights or activations overflow"));
    }
  }
  if (task.kind == EvaluationTask::KIND_NOT_SET) {
    AddPairs(task, scores, result);
  } else if (task.kind == EvaluationTask::kLastWord) {
    AddLastWords(task, scores, result);
  } else {
    AddChoices(task, scores, result);
  }
  StageRun& run = *result.add_stage();
  run.set_stage(absl::StrCat("evaluate/", task.name));
  run.set_hash(Fingerprint("pairs/v1").Add(absl::MakeConstSpan(values)).Hex());
  return absl::OkStatus();
}

}  // namespace eaq

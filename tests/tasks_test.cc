// Tasks on the shipped reference model: BLiMP, a few pairs of each paradigm, the scores of the streaming evaluation
// against the whole model asked sentence by sentence; and what lm-evaluation-harness says of our own items.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/test_shared.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/eval/choice_results.h"
#include "eaq/eval/choice_task.h"
#include "eaq/eval/choice_trace.h"
#include "eaq/model/model.h"

namespace eaq {
namespace {

constexpr int kPairs = 6;

absl::StatusOr<std::vector<std::vector<ChoiceScore>>> ScoresOf(const Model& model, const std::vector<ChoiceTask>& tasks,
                                                               ThreadPool& pool) {
  ChoiceTracer tracer(model.ends(), tasks, pool);
  for (int l = 0; l < model.config().num_layers; ++l) tracer.Advance(model.layer(l), pool);
  NullProgress progress;
  return tracer.Scores(pool, progress);
}

TEST(Blimp, ScoresOfRefSAreTheModels) {
  EAQ_SHARED_OR_SKIP(folder, "data/blimp");
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string path, FindInRepository("models/ref-s"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, OpenModel(path));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto model, Model::Load(*source));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Load(JoinPath(path, "tokenizer.json")));
  EvaluationTask spec;
  spec.set_path(folder);
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet pairs, LoadItems(spec));
  ThreadPool pool(2);
  std::vector<ChoiceTask> tasks;
  for (const auto protocol : {EvaluationTask::ORIGINAL, EvaluationTask::LM_EVAL}) {
    spec.set_name(protocol == EvaluationTask::ORIGINAL ? "original" : "harness");
    spec.set_protocol(protocol);
    spec.set_max_items_per_paradigm(kPairs);
    EAQ_ASSERT_OK_AND_ASSIGN(ChoiceTask task, MakeChoiceTask(pairs, spec, *tokenizer, model->config(), pool));
    tasks.push_back(std::move(task));
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const auto scores, ScoresOf(*model, tasks, pool));

  const int32_t end = tokenizer->TokenId("<|endoftext|>");
  for (int t = 0; t < 2; ++t) {
    size_t s = 0;
    double right = 0;
    std::map<std::string, std::vector<double>> phenomena;
    for (const Paradigm& paradigm : pairs.paradigms) {
      double own = 0;
      for (int i = 0; i < kPairs; ++i) {
        double ll[2];
        for (int k = 0; k < 2; ++k, ++s) {
          const std::string& text = paradigm.items[i].choices[k].text;
          std::vector<int32_t> ids = *tokenizer->Encode(t == 0 ? text : " " + text);
          ids.insert(ids.begin(), end);
          ll[k] = 0;
          for (const double log_prob : model->LogProbs(ids)) ll[k] += log_prob;
          ASSERT_NEAR(scores[t][s].log_likelihood, ll[k], 1e-9 * std::abs(ll[k])) << paradigm.id << " " << text;
        }
        own += t == 0 ? ll[0] > ll[1] : ll[0] >= ll[1];
      }
      right += own / kPairs / 67;
      phenomena[paradigm.phenomenon].push_back(own / kPairs);
    }
    double of_phenomena = 0;
    for (const auto& [name, parts] : phenomena) {
      double sum = 0;
      for (const double part : parts) sum += part / static_cast<double>(parts.size());
      of_phenomena += sum / 12;
    }
    TrialResult result;
    ASSERT_THAT(AddChoiceResults(tasks[t], scores[t], result), IsOk());
    EXPECT_EQ(result.metric(0).name(), "accuracy");
    EXPECT_NEAR(result.metric(0).value(), right, 1e-12);
    EXPECT_EQ(result.metric(1).name(), "accuracy_of_phenomena");
    EXPECT_NEAR(result.metric(1).value(), of_phenomena, 1e-12);
    EXPECT_GT(right, 0.45);  // it has learned little, but is not perverse
    EXPECT_LT(right, 0.75);
  }
}

// Numbers that lm-evaluation-harness itself gave for our own items and this model (tests/testdata/lm_eval_ref_s.py):
// tokenization of context and candidate, white space at the border, truncation of nothing, greediness.
TEST(Harness, ScoresOfRefSAreLmEvals) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string path, FindInRepository("models/ref-s"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, OpenModel(path));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto model, Model::Load(*source));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto tokenizer, Tokenizer::Load(JoinPath(path, "tokenizer.json")));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string items, FindInRepository("eaq/text/testdata/items"));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string golden, FindInRepository("tests/testdata/lm_eval_ref_s.jsonl"));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(golden));
  ThreadPool pool(2);
  std::vector<ChoiceTask> tasks;
  for (const char* name : {"answer", "plain", "last_words"}) {
    EvaluationTask spec;
    spec.set_name(name);
    spec.set_path(JoinPath(items, tasks.size() < 2 ? "choices.jsonl" : "last_words.jsonl"));
    if (tasks.size() == 2) {
      spec.mutable_last_word();
    } else {
      spec.mutable_multiple_choice()->set_context_end(tasks.empty() ? "\nAnswer:" : "");
    }
    EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet set, LoadItems(spec));
    EAQ_ASSERT_OK_AND_ASSIGN(ChoiceTask task, MakeChoiceTask(set, spec, *tokenizer, model->config(), pool));
    tasks.push_back(std::move(task));
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const auto scores, ScoresOf(*model, tasks, pool));
  std::map<std::string, std::vector<ChoiceScore>> expected;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    EAQ_ASSERT_OK_AND_ASSIGN(const Json json, ParseJson(line));
    for (size_t c = 0; c < json["ll"].size(); ++c) {
      expected[json["task"].get<std::string>()].push_back({json["ll"][c].get<double>(), json["greedy"][c].get<bool>()});
    }
  }
  for (size_t t = 0; t < tasks.size(); ++t) {
    const std::vector<ChoiceScore>& theirs = expected[tasks[t].name];
    ASSERT_EQ(theirs.size(), scores[t].size()) << tasks[t].name;
    for (size_t s = 0; s < theirs.size(); ++s) {
      // Both float32, theirs summed in float32 too, with six digits after the point.
      EXPECT_NEAR(scores[t][s].log_likelihood, theirs[s].log_likelihood,
                  1e-5 * std::abs(theirs[s].log_likelihood) + 1e-6)
          << tasks[t].name << " " << s;
      EXPECT_EQ(scores[t][s].greedy, theirs[s].greedy) << tasks[t].name << " " << s;
    }
  }
}

}  // namespace
}  // namespace eaq

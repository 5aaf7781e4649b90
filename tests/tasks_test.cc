// BLiMP on the shipped reference model, a few pairs of each paradigm: the scores of the streaming evaluation against
// the whole model asked sentence by sentence.
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
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

}  // namespace
}  // namespace eaq

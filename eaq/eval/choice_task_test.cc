// Minimal pairs as tasks, against models whose probabilities are known: bigram, uniform, and one asked token by token.
#include "eaq/eval/choice_task.h"

#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/eval/choice_results.h"
#include "eaq/eval/choice_testing.h"
#include "eaq/eval/choice_trace.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kEnd = 256;  // <|endoftext|>: the tokenizer below has the 256 bytes and nothing else

ModelConfig Config() {
  ModelConfig config = TinyConfig();
  config.vocab_size = 257;
  return config;
}

Item Pair(const std::string& good, const std::string& bad) { return {{{"", good}, {"", bad}}, 0}; }

ItemSet Pairs() {
  ItemSet set;
  set.name = "made_up";
  set.paradigms = {
      {"agreement", "morphology", {Pair("The cat sleeps.", "The cat sleep."), Pair("I am.", "I are.")}},
      {"order", "syntax", {Pair("She saw it.", "Saw it she.")}},
      {"plural", "morphology", {Pair("Two cats.", "Two cat."), Pair("One cat.", "One cats."), Pair("a", "ab")}}};
  return set;
}

EvaluationTask Spec(EvaluationTask::Protocol protocol = EvaluationTask::ORIGINAL, int max_items = 0) {
  EvaluationTask spec;
  spec.set_name("made_up");
  spec.set_protocol(protocol);
  spec.set_max_items_per_paradigm(max_items);
  return spec;
}

ChoiceTask Task(const EvaluationTask& spec) {
  ThreadPool pool(2);
  return *MakeChoiceTask(Pairs(), spec, *ByteTokenizer(), Config(), pool);
}

// The ids of all sentences, good and bad in turn.
std::vector<std::vector<int32_t>> SentencesOf(const ChoiceTask& task) {
  std::vector<std::vector<int32_t>> sentences;
  for (const ChoiceTask::Item& item : task.items) {
    for (const ChoiceTask::Choice& choice : item.choices) sentences.push_back(choice.ids);
  }
  return sentences;
}

std::vector<std::vector<ChoiceScore>> Scores(const ModelEnds& ends, const std::vector<ChoiceTask>& tasks,
                                             const std::vector<const DecoderLayer*>& layers, int threads) {
  ThreadPool pool(threads);
  ChoiceTracer tracer(ends, tasks, pool);
  for (const DecoderLayer* layer : layers) tracer.Advance(*layer, pool);
  EXPECT_EQ(tracer.tokens(), tracer.tokens_alone());  // sentences share nothing
  NullProgress progress;
  return *tracer.Scores(pool, progress);
}

TEST(MinimalPairs, PrefixSpaceAndLimit) {
  const auto original = SentencesOf(Task(Spec())), harness = SentencesOf(Task(Spec(EvaluationTask::LM_EVAL)));
  ASSERT_EQ(original.size(), 12u);
  EXPECT_THAT(original[2], ElementsAre(kEnd, 'I', ' ', 'a', 'm', '.'));
  EXPECT_THAT(original[3], ElementsAre(kEnd, 'I', ' ', 'a', 'r', 'e', '.'));
  EXPECT_THAT(harness[2], ElementsAre(kEnd, ' ', 'I', ' ', 'a', 'm', '.'));
  const ChoiceTask some = Task(Spec(EvaluationTask::ORIGINAL, 2));
  ASSERT_EQ(some.paradigms.size(), 3u);
  EXPECT_EQ(some.paradigms[1].items, 1);
  EXPECT_EQ(some.paradigms[2].items, 2);
  ASSERT_EQ(some.items.size(), 5u);
  EXPECT_EQ(SentencesOf(some)[9], original[9]);
}

// A sentence that begins with the prefix token gets no second one.
TEST(MinimalPairs, NoSecondPrefix) {
  ThreadPool pool(1);
  EvaluationTask spec = Spec();
  spec.set_prefix_token("I");
  EAQ_ASSERT_OK_AND_ASSIGN(const ChoiceTask task, MakeChoiceTask(Pairs(), spec, *ByteTokenizer(), Config(), pool));
  EXPECT_THAT(SentencesOf(task)[2], ElementsAre('I', ' ', 'a', 'm', '.'));
  spec.set_prefix_token("<s>");
  EXPECT_THAT(
      MakeChoiceTask(Pairs(), spec, *ByteTokenizer(), Config(), pool),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("task made_up: prefix_token \"<s>\" is no token")));
}

TEST(MinimalPairs, RefusesWhatTheModelCannotRead) {
  ThreadPool pool(1);
  ModelConfig small = Config();
  small.vocab_size = 100;
  EXPECT_THAT(MakeChoiceTask(Pairs(), Spec(), *ByteTokenizer(), small, pool),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("task made_up, agreement, item 0, the good sentence: token id")));
  ItemSet set = Pairs();
  set.paradigms[2].items[1].choices[1].text = "I";
  EvaluationTask spec = Spec();
  spec.set_prefix_token("I");
  EXPECT_THAT(MakeChoiceTask(set, spec, *ByteTokenizer(), Config(), pool),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("plural, item 1, the bad sentence: no token to score in \"I\"")));
}

// Without layers the model is a bigram: log p(b | a) = log softmax(H rmsnorm(E_a))_b, here all in double by hand.
TEST(MinimalPairs, ScoresAreThoseOfABigramModel) {
  const ModelConfig config = Config();
  const OuterParams outer = RandomOuter(config, 5);
  const ModelEnds ends(config, RandomOuter(config, 5));
  const Matrix& head = outer.head.size() == 0 ? outer.embedding : outer.head;
  const auto log_p = [&](int32_t a, int32_t b) {
    double squares = config.rms_norm_eps * config.hidden_size;
    for (int64_t i = 0; i < config.hidden_size; ++i) squares += std::pow(double{outer.embedding(a, i)}, 2);
    const double scale = std::sqrt(squares / config.hidden_size);
    std::vector<double> logits(config.vocab_size, 0.0);
    double sum = 0;
    for (int64_t v = 0; v < config.vocab_size; ++v) {
      for (int64_t i = 0; i < config.hidden_size; ++i) {
        logits[v] += double{outer.embedding(a, i)} / scale * outer.final_norm[i] * head(v, i);
      }
      sum += std::exp(logits[v]);
    }
    return logits[b] - std::log(sum);
  };
  for (const auto protocol : {EvaluationTask::ORIGINAL, EvaluationTask::LM_EVAL}) {
    const ChoiceTask task = Task(Spec(protocol));
    const auto sentences = SentencesOf(task);
    const auto scores = Scores(ends, {task}, {}, 2);
    for (size_t s = 0; s < sentences.size(); ++s) {
      double expected = 0, magnitude = 0;
      for (size_t t = 1; t < sentences[s].size(); ++t) {
        const double one = log_p(sentences[s][t - 1], sentences[s][t]);
        expected += one;
        magnitude += std::abs(one) + 10;  // |logit| <= |E| |H| stays below 10 here
      }
      // float32 logits: hidden_size roundings of 2^-24 each, relative to their terms.
      EXPECT_NEAR(scores[0][s].log_likelihood, expected, magnitude * config.hidden_size * std::ldexp(1.0, -24)) << s;
    }
  }
}

// A whole model against itself asked one token at a time through its KV cache, softmax in double by the definition; and
// the same bits for any number of threads and whatever other sentences stand beside.
TEST(MinimalPairs, ScoresAreTheModelsForAnyThreadsAndNeighbours) {
  const auto model = *Model::Load(*RandomModel(Config(), 3));
  const std::vector<const DecoderLayer*> layers = {&model->layer(0), &model->layer(1)};
  const ChoiceTask task = Task(Spec()), other = Task(Spec(EvaluationTask::LM_EVAL));
  const auto one = Scores(model->ends(), {task}, layers, 1), three = Scores(model->ends(), {other, task}, layers, 3);
  EXPECT_EQ(one[0], three[1]);
  const auto sentences = SentencesOf(task);
  for (size_t s = 0; s < sentences.size(); ++s) {
    const std::vector<int32_t>& ids = sentences[s];
    KvCache cache = model->NewCache(ids.size());
    std::vector<float> logits(257);
    double expected = 0;
    for (size_t t = 0; t + 1 < ids.size(); ++t) {
      model->Extend({&ids[t], 1}, cache, absl::MakeSpan(logits));
      double sum = 0;
      for (const float logit : logits) sum += std::exp(double{logit});
      expected += logits[ids[t + 1]] - std::log(sum);
    }
    EXPECT_NEAR(one[0][s].log_likelihood, expected, 1e-5 * ids.size() * 10) << s;
  }
}

// All tokens equally likely: ll = -n log V exactly, so the shorter sentence wins and equal lengths tie.
TEST(MinimalPairs, UniformModelTiesByProtocol) {
  const ModelConfig config = Config();
  OuterParams outer = RandomOuter(config, 5);
  outer.head = Matrix(config.vocab_size, config.hidden_size);
  const ModelEnds ends(config, std::move(outer));
  for (const bool harness : {false, true}) {
    const ChoiceTask task = Task(Spec(harness ? EvaluationTask::LM_EVAL : EvaluationTask::ORIGINAL));
    const auto scores = Scores(ends, {task}, {}, 1);
    EXPECT_NEAR(scores[0][3].log_likelihood, -(harness ? 7 : 6) * std::log(257.0), 1e-9);
    TrialResult result;
    ASSERT_THAT(AddChoiceResults(task, scores[0], result), IsOk());
    const auto metrics = MetricsOf(result);
    // Lengths good/bad: agreement 15/14, 5/6; order 11/11 (a tie); plural 9/8, 8/9, 1/2.
    EXPECT_EQ(metrics.at("ties made_up"), 1);
    EXPECT_EQ(metrics.at("accuracy made_up/agreement"), 0.5);
    EXPECT_EQ(metrics.at("accuracy made_up/order"), harness ? 1 : 0);
    EXPECT_DOUBLE_EQ(metrics.at("accuracy made_up/plural"), 2.0 / 3);
  }
}

TEST(MinimalPairs, MeansAreOverParadigmsAndPhenomena) {
  const ChoiceTask task = Task(Spec());
  const std::vector<double> scores = {-1, -2, -2, -1, -5, -6, -1, -2, -3, -2, -9, -8};
  TrialResult result;
  ASSERT_THAT(AddChoiceResults(task, MadeUpScores(scores), result), IsOk());
  const auto metrics = MetricsOf(result);
  // agreement 1/2, order 1, plural 1/3; morphology (1/2 + 1/3) / 2, syntax 1.
  EXPECT_DOUBLE_EQ(metrics.at("accuracy made_up"), (0.5 + 1 + 1.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy_of_phenomenon made_up/morphology"), 5.0 / 12);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy_of_phenomenon made_up/syntax"), 1);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy_of_phenomena made_up"), (5.0 / 12 + 1) / 2);
  EXPECT_EQ(metrics.size(), 3u + 3 + 2);
  ASSERT_EQ(result.series_size(), 1);
  const Series& series = result.series(0);
  EXPECT_EQ(series.metric(), "correct");
  EXPECT_EQ(series.domain(), "made_up");
  EXPECT_THAT(series.value(), ElementsAre(1, 0, 1, 1, 0, 0));
  EXPECT_THAT(series.document(), ElementsAre("agreement", "agreement", "order", "plural", "plural", "plural"));
  EXPECT_EQ(result.stage(0).stage(), "evaluate/made_up");

  // Good and bad exchanged: every answer turns around.
  std::vector<double> swapped = scores;
  for (size_t s = 0; s < swapped.size(); s += 2) std::swap(swapped[s], swapped[s + 1]);
  TrialResult other;
  ASSERT_THAT(AddChoiceResults(task, MadeUpScores(swapped), other), IsOk());
  EXPECT_DOUBLE_EQ(MetricsOf(other).at("accuracy made_up"), 1 - metrics.at("accuracy made_up"));
}

TEST(MinimalPairs, NothingThatIsNotFinitePasses) {
  const ChoiceTask task = Task(Spec());
  std::vector<double> scores(12, -1.0);
  scores[7] = std::numeric_limits<double>::quiet_NaN();
  TrialResult result;
  EXPECT_THAT(AddChoiceResults(task, MadeUpScores(scores), result),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("task made_up, plural, item 0, the bad sentence")));
  EXPECT_THAT(AddChoiceResults(task, absl::MakeConstSpan(MadeUpScores(scores)).first(10), result),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("10 scores; expected 12")));
  ModelConfig config = Config();
  OuterParams outer = RandomOuter(config, 5);
  outer.embedding('w', 3) = std::numeric_limits<float>::quiet_NaN();  // of "Saw it she."
  const ModelEnds ends(config, std::move(outer));
  ThreadPool pool(1);
  ChoiceTracer tracer(ends, {&task, 1}, pool);
  NullProgress progress;
  EXPECT_THAT(tracer.Scores(pool, progress),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("task made_up, order, item 0, the good sentence")));
}

}  // namespace
}  // namespace eaq

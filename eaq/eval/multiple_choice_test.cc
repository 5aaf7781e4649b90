// Multiple choice and last words against a naive twin: every candidate by its own full forward, in float64, from the
// definition of evaluation_protocol.md section 5; and closed forms.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/eval/choice_results.h"
#include "eaq/eval/choice_task.h"
#include "eaq/eval/choice_testing.h"
#include "eaq/eval/choice_trace.h"
#include "eaq/model/double_twin.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelConfig Config() {
  ModelConfig config = TinyConfig();
  config.vocab_size = 257;
  config.max_position_embeddings = 64;
  return config;
}

// Two paradigms: contexts that all candidates share, candidates of one token, contexts of their own; long ones too.
ItemSet Choices() {
  ItemSet set;
  set.paradigms.resize(2);
  set.paradigms[0].id = "one";
  set.paradigms[0].items = {
      {{{"Where do rivers end?", "in the sea"}, {"Where do rivers end?", "in the sky"}, {"Where do rivers end?", "up"}},
       0},
      {{{"One letter of three", "a"}, {"One letter of three", "b"}}, 1},
      {{{"Hi\n", "x"}, {"Hi\n", "y z"}}, 1},  // too short to share; the line's end moves to the candidates
      {{{"A text of more than sixty-four bytes, so that its front does not fit into the model: what now?", "cut it"},
        {"A text of more than sixty-four bytes, so that its front does not fit into the model: what now?", "wait"}},
       0}};
  set.paradigms[1].id = "two";
  set.paradigms[1].items = {{{{"The stone was too large for the bag, so the stone", "was left behind"},
                              {"The stone was too large for the bag, so the bag", "was left behind"}},
                             1},
                            {{{"accents", "ch\xC3\xA2teau"}, {"accents", "chateau"}}, 1}};
  return set;
}

ItemSet Words() {
  ItemSet set;
  set.paradigms.resize(1);
  set.paradigms[0].id = "words";
  set.paradigms[0].items = {{{{"the last word of this is", "word"}}, 0}, {{{"and of this one", "x"}}, 0}};
  return set;
}

EvaluationTask ChoiceSpec() {
  EvaluationTask spec;
  spec.set_name("made_up");
  spec.mutable_multiple_choice()->set_context_end("\nAnswer:");
  return spec;
}

EvaluationTask WordSpec() {
  EvaluationTask spec;
  spec.set_name("words");
  spec.mutable_last_word();
  return spec;
}

ChoiceTask Make(const ItemSet& items, const EvaluationTask& spec) {
  ThreadPool pool(2);
  return *MakeChoiceTask(items, spec, *ByteTokenizer(), Config(), pool);
}

std::vector<std::vector<ChoiceScore>> ScoresOf(const Model& model, const std::vector<ChoiceTask>& tasks, int threads,
                                               double* saved = nullptr) {
  ThreadPool pool(threads);
  ChoiceTracer tracer(model.ends(), tasks, pool);
  for (int l = 0; l < model.config().num_layers; ++l) tracer.Advance(model.layer(l), pool);
  if (saved != nullptr) *saved = 1 - static_cast<double>(tracer.tokens()) / static_cast<double>(tracer.tokens_alone());
  NullProgress progress;
  return *tracer.Scores(pool, progress);
}

const Series* SeriesOf(const TrialResult& result, const std::string& metric) {
  for (const Series& s : result.series()) {
    if (s.metric() == metric) return &s;
  }
  return nullptr;
}

// ll and greediness of the bytes of TEXT from FIRST on, each by the whole text before it.
ChoiceScore Naive(const TwinModel& twin, const std::string& text, size_t first) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  const int64_t vocab = twin.config.vocab_size;
  ChoiceScore score{0, true};
  for (size_t t = first; t < ids.size(); ++t) {
    const TwinResult result = RunTwin(twin, absl::Span<const int32_t>(ids).first(t));
    const double* row = result.logits.data() + (t - 1) * vocab;
    double sum = 0;
    for (int64_t v = 0; v < vocab; ++v) sum += std::exp(row[v]);
    score.log_likelihood += row[ids[t]] - std::log(sum);
    score.greedy = score.greedy && std::max_element(row, row + vocab) == row + ids[t];
  }
  return score;
}

TEST(MultipleChoice, TokensAreContextBlankAndCandidate) {
  const ChoiceTask task = Make(Choices(), ChoiceSpec());
  ASSERT_EQ(task.items.size(), 6u);
  const auto text = [](const std::vector<int32_t>& ids) { return std::string(ids.begin(), ids.end()); };
  EXPECT_EQ(text(task.items[0].choices[1].ids), "Where do rivers end?\nAnswer: in the sky");
  EXPECT_EQ(task.items[0].choices[1].first, 28);
  EXPECT_EQ(task.items[0].document, "one/0");
  EXPECT_EQ(task.items[4].document, "two/0");
  EXPECT_EQ(task.items[3].choices[0].ids.size(), 65u);  // 64 are read
  EXPECT_EQ(text(task.items[3].choices[0].ids).substr(50), "\nAnswer: cut it");
  EXPECT_EQ(task.items[5].choices[0].characters, 7);
  EXPECT_EQ(task.items[5].choices[0].bytes, 8);
  EXPECT_DOUBLE_EQ(task.chance, (1.0 / 3 + 5 * 0.5) / 6);
  EXPECT_DOUBLE_EQ(task.constant, 1.0 / 6);  // no text is right twice
  EvaluationTask plain = ChoiceSpec();
  plain.mutable_multiple_choice()->clear_context_end();
  plain.mutable_multiple_choice()->set_drop_front("Where ");
  plain.mutable_multiple_choice()->set_max_length(16);
  plain.set_max_items_per_paradigm(3);
  const ChoiceTask some = Make(Choices(), plain);
  ASSERT_EQ(some.items.size(), 5u);
  EXPECT_EQ(text(some.items[0].choices[2].ids), "do rivers end? up");
  EXPECT_EQ(text(some.items[2].choices[0].ids), "Hi\n x");
  EXPECT_EQ(some.items[2].choices[0].first, 2);  // "\n x" is scored
  EXPECT_EQ(some.items[1].choices[0].ids.size(), 17u);
}

TEST(MultipleChoice, ScoresAreTheNaiveTwins) {
  const auto source = RandomModel(Config(), 3);
  const TwinModel twin = TwinModel::Load(*source);
  const auto model = *Model::Load(*source);
  EvaluationTask spec = ChoiceSpec();
  spec.mutable_multiple_choice()->clear_context_end();
  const std::vector<ChoiceTask> tasks = {Make(Choices(), spec), Make(Words(), WordSpec())};
  double saved = 0;
  const auto scores = ScoresOf(*model, tasks, 2, &saved);
  EXPECT_GT(saved, 0.2);  // the contexts were shared, or this test says nothing about that
  size_t s = 0;
  for (const Paradigm& paradigm : Choices().paradigms) {
    for (const Item& item : paradigm.items) {
      for (const Item::Choice& choice : item.choices) {
        std::string context = choice.context, whole = absl::StrCat(choice.context, " ", choice.text);
        while (context.back() == '\n') context.pop_back();
        size_t first = context.size();
        if (whole.size() > 65) {
          first -= whole.size() - 65;
          whole = whole.substr(whole.size() - 65);
        }
        const ChoiceScore naive = Naive(twin, whole, first);
        // float32: a few hundred roundings of 2^-24 a token, |log p| below 10.
        EXPECT_NEAR(scores[0][s].log_likelihood, naive.log_likelihood, 1e-4 * (whole.size() - first)) << whole;
        EXPECT_EQ(scores[0][s].greedy, naive.greedy) << whole;
        ++s;
      }
    }
  }
  const ItemSet words = Words();
  for (size_t i = 0; i < 2; ++i) {
    const Item::Choice& word = words.paradigms[0].items[i].choices[0];
    const ChoiceScore naive = Naive(twin, absl::StrCat(word.context, " ", word.text), word.context.size());
    EXPECT_NEAR(scores[1][i].log_likelihood, naive.log_likelihood, 1e-3);
  }
  // Whatever stands beside, and for any number of threads: the same bits.
  EXPECT_EQ(ScoresOf(*model, {tasks[1]}, 1)[0], scores[1]);
  EXPECT_EQ(ScoresOf(*model, tasks, 3), scores);
}

// A front that is computed once gives the numbers of candidates that run alone, one item each.
TEST(MultipleChoice, SharingChangesNothingButRounding) {
  const auto model = *Model::Load(*RandomModel(Config(), 4));
  const ChoiceTask together = Make(Choices(), ChoiceSpec());
  ChoiceTask alone = together;
  alone.items.clear();
  alone.paradigms = {{"all", "", 0}};
  for (const ChoiceTask::Item& item : together.items) {
    for (const ChoiceTask::Choice& choice : item.choices) alone.items.push_back({{choice}, 0, ""});
  }
  double none = 1;
  const auto shared = ScoresOf(*model, {together}, 1)[0], single = ScoresOf(*model, {alone}, 1, &none)[0];
  EXPECT_EQ(none, 0);
  ASSERT_EQ(shared.size(), single.size());
  for (size_t s = 0; s < shared.size(); ++s) {
    EXPECT_NEAR(shared[s].log_likelihood, single[s].log_likelihood, 1e-5 * std::abs(single[s].log_likelihood)) << s;
  }
}

// A function runs the layers over sequences and their branches: the same bits, and what it must take at once.
TEST(MultipleChoice, AFunctionMayRunTheLayers) {
  const auto model = *Model::Load(*RandomModel(Config(), 4));
  const ModelConfig& config = model->config();
  const std::vector<ChoiceTask> tasks = {Make(Choices(), ChoiceSpec()), Make(Words(), WordSpec())};
  ThreadPool pool(1);
  ChoiceTracer tracer(model->ends(), tasks, pool);
  const int64_t width = config.num_kv_heads * config.head_dim;
  int64_t rows = 0, most = 0, branching = 0;
  for (int l = 0; l < config.num_layers; ++l) {
    const auto run = [&](MatrixView hidden, absl::Span<const int64_t> lengths, absl::Span<const uint8_t> branches) {
      int64_t row = 0, front = 0, keys = 0;
      LayerCache cache{Matrix(256, width), Matrix(256, width), 0};
      for (size_t s = 0; s < lengths.size(); row += lengths[s++]) {
        if (branches[s] == 0) front = lengths[s];
        cache.length = branches[s] == 0 ? 0 : front;
        keys = (branches[s] == 0 ? 0 : keys + front) + lengths[s];
        most = std::max(most, keys);
        branching += branches[s];
        model->layer(l).ForwardCached(hidden.Rows(row, lengths[s]), cache);
      }
      rows += row;
      return absl::OkStatus();
    };
    ASSERT_THAT(tracer.Advance(run), IsOk());
  }
  NullProgress progress;
  EXPECT_EQ(*tracer.Scores(pool, progress), ScoresOf(*model, tasks, 1));
  EXPECT_EQ(rows, config.num_layers * tracer.tokens());
  EXPECT_GT(branching, 0);
  EXPECT_GE(tracer.most_keys(), most);  // more where candidates have no front in common
  EXPECT_LE(tracer.most_keys(), tracer.tokens_alone());
}

// With all tokens equally likely ll = -n log V: the shortest candidate wins, and normalised by its characters the one
// with the fewest tokens for them; equal ones tie for the first.
TEST(MultipleChoice, UniformModelInClosedForm) {
  OuterParams outer = RandomOuter(Config(), 5);
  outer.head = Matrix(Config().vocab_size, Config().hidden_size);
  const ModelEnds ends(Config(), std::move(outer));
  const ChoiceTask task = Make(Choices(), ChoiceSpec());
  ThreadPool pool(1);
  ChoiceTracer tracer(ends, {&task, 1}, pool);
  NullProgress progress;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto scores, tracer.Scores(pool, progress));
  EXPECT_NEAR(scores[0][0].log_likelihood, -11 * std::log(257.0), 1e-9);  // " in the sea"
  TrialResult result;
  ASSERT_THAT(AddChoiceResults(task, scores[0], result), IsOk());
  // By ll: "up", a tie for "a", "x", "wait", a tie for the first context, "chateau". Gold: 0, 1, 1, 0, 1, 1.
  EXPECT_THAT(SeriesOf(result, "correct")->value(), ElementsAre(0, 0, 0, 0, 0, 1));
  // The blank counts in ll and not in the length, so the longest candidate is best per character: a tie of the first
  // two, a tie, "y z", "cut it", a tie, and of 9/7 and 8/7 tokens a character "chateau".
  EXPECT_THAT(SeriesOf(result, "correct_norm")->value(), ElementsAre(1, 0, 1, 1, 0, 1));
  const auto metrics = MetricsOf(result);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy made_up"), 1.0 / 6);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy_norm made_up"), 4.0 / 6);
  EXPECT_DOUBLE_EQ(metrics.at("accuracy_bytes made_up"), 3.0 / 6);  // 9/8 against 8/7 tokens a byte: the other one
  EXPECT_DOUBLE_EQ(metrics.at("accuracy made_up/two"), 0.5);
  EXPECT_EQ(metrics.at("ties made_up"), 2);
  EXPECT_DOUBLE_EQ(metrics.at("chance made_up"), task.chance);
}

// Scores by hand: which candidate wins by each measure, and that permuting candidates permutes answers.
TEST(MultipleChoice, AccuraciesByHand) {
  ChoiceTask task = Make(Choices(), ChoiceSpec());
  // Lengths: 10, 10, 2; 1, 1; 1, 3; 6, 4; 15, 15; 7 (8 bytes), 7.
  std::vector<double> ll = {-8, -9, -4, -2, -1, -1, -2, -9, -6, -3, -2, -7, -6.5};
  TrialResult result;
  ASSERT_THAT(AddChoiceResults(task, MadeUpScores(ll), result), IsOk());
  EXPECT_THAT(SeriesOf(result, "correct")->value(), ElementsAre(0, 1, 0, 0, 1, 1));
  EXPECT_THAT(SeriesOf(result, "correct_norm")->value(), ElementsAre(1, 1, 1, 1, 1, 1));
  EXPECT_THAT(SeriesOf(result, "correct")->document(),
              ElementsAre("one/0", "one/1", "one/2", "one/3", "two/0", "two/1"));
  EXPECT_DOUBLE_EQ(MetricsOf(result).at("accuracy_bytes made_up"), 5.0 / 6);  // -7 / 8 against -6.5 / 7
  const Series& all = *SeriesOf(result, "log_likelihood");
  EXPECT_EQ(std::vector<double>(all.value().begin(), all.value().end()), ll);
  EXPECT_EQ(all.document(2), "one/0");
  EXPECT_EQ(result.stage(0).stage(), "evaluate/made_up");
  std::swap(task.items[0].choices[0], task.items[0].choices[2]);
  std::swap(ll[0], ll[2]);
  task.items[0].gold = 2;
  TrialResult permuted;
  ASSERT_THAT(AddChoiceResults(task, MadeUpScores(ll), permuted), IsOk());
  EXPECT_EQ(MetricsOf(permuted), MetricsOf(result));
  ll[12] = std::nan("");
  EXPECT_THAT(AddChoiceResults(task, MadeUpScores(ll), permuted),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("task made_up, two, item 1, choice 1")));
  ll.pop_back();
  EXPECT_THAT(AddChoiceResults(task, MadeUpScores(ll), permuted),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("12 scores; expected 13")));
}

// The answer that is right most often, where candidates are the same everywhere ("no", "yes").
TEST(MultipleChoice, AConstantAnswerIsKnown) {
  ItemSet set;
  set.paradigms.resize(1);
  for (int i = 0; i < 8; ++i) {
    set.paradigms[0].items.push_back(
        {{{absl::StrCat("question ", i), "no"}, {absl::StrCat("question ", i), "yes"}}, i < 5 ? 1 : 0});
  }
  const ChoiceTask task = Make(set, ChoiceSpec());
  EXPECT_EQ(task.chance, 0.5);
  EXPECT_EQ(task.constant, 5.0 / 8);
}

TEST(LastWord, AccuracyIsGreedyAndPerplexityPerWord) {
  const ChoiceTask task = Make(Words(), WordSpec());
  EXPECT_EQ(task.chance, 0);
  TrialResult result;
  ASSERT_THAT(AddChoiceResults(task, std::vector<ChoiceScore>{{-3, false}, {-1, true}}, result), IsOk());
  const auto metrics = MetricsOf(result);
  EXPECT_EQ(metrics.at("accuracy words"), 0.5);
  EXPECT_NEAR(metrics.at("word_perplexity words"), std::exp(2), 1e-12);
  EXPECT_EQ(metrics.count("accuracy_norm words"), 0u);
  EXPECT_THAT(SeriesOf(result, "correct")->value(), ElementsAre(0, 1));
  EXPECT_THAT(SeriesOf(result, "log_likelihood")->value(), ElementsAre(-3, -1));
}

// A model that says one token for sure is greedy there alone.
TEST(LastWord, GreedyIsEveryToken) {
  OuterParams outer = RandomOuter(Config(), 5);
  outer.head = Matrix(Config().vocab_size, Config().hidden_size);
  // Without layers the hidden state is the embedding: after 'a' comes 'b', after 'b' comes 'c'.
  for (const auto& [from, to] : {std::pair<char, char>('a', 'b'), {'b', 'c'}, {' ', 'a'}, {'.', ' '}}) {
    for (int64_t i = 0; i < Config().hidden_size; ++i) {
      outer.embedding(from, i) = 0;
      outer.final_norm[i] = 1;
    }
    outer.embedding(from, to % Config().hidden_size) = 1;
    outer.head(to, to % Config().hidden_size) = 10;
  }
  const ModelEnds ends(Config(), std::move(outer));
  ItemSet set;
  set.paradigms.resize(1);
  for (const char* word : {"abc", "ab", "aba", "b"}) set.paradigms[0].items.push_back({{{"x.", word}}, 0});
  const ChoiceTask task = Make(set, WordSpec());
  ThreadPool pool(1);
  ChoiceTracer tracer(ends, {&task, 1}, pool);
  NullProgress progress;
  EAQ_ASSERT_OK_AND_ASSIGN(const auto scores, tracer.Scores(pool, progress));
  std::vector<bool> greedy;
  for (const ChoiceScore& score : scores[0]) greedy.push_back(score.greedy);
  EXPECT_THAT(greedy, ElementsAre(true, true, false, false));
}

}  // namespace
}  // namespace eaq

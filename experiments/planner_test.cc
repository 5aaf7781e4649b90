// Resolving: keys, each once, hashes from the cache only while files are unchanged.
#include "experiments/planner.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_matchers.h"
#include "eaq/recipe/version.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

TrialSpec Trial(const std::string& model, const std::string& domain) {
  TrialSpec trial;
  trial.mutable_model()->set_path(model);
  trial.mutable_evaluation()->add_domain()->set_name(domain);
  return trial;
}

Resolvers Fakes(int& calls) {
  Resolvers fakes;
  fakes.model = [&calls](const std::string& path) {
    ++calls;
    return ResolvedModel{"/models/" + path, Sha256Hex(path), "t"};
  };
  fakes.corpus = [&calls](const CorpusRef& ref) {
    ++calls;
    return ResolvedCorpus{"", Sha256Hex(ref.name()), "fake"};
  };
  return fakes;
}

TEST(Resolve, KeepsEveryKeyOnceInOrder) {
  int calls = 0;
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepPlan plan,
                           Resolve({Trial("a", "x"), Trial("b", "x"), Trial("a", "x")}, 1, Fakes(calls)));
  ASSERT_EQ(plan.trials.size(), 2);
  EXPECT_EQ(plan.duplicates, 1);
  ASSERT_EQ(plan.asked.size(), 3);  // whoever asked twice finds both
  EXPECT_EQ(plan.asked[2].key, plan.asked[0].key);
  EXPECT_EQ(plan.asked[1].key, plan.trials[1].key);
  EXPECT_EQ(calls, 3);  // two models, one corpus: each asked once
  EXPECT_EQ(plan.trials[0].spec.model().name(), "a");
  EXPECT_EQ(plan.trials[0].spec.corpus_hash(0), Sha256Hex("x"));
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepPlan other, Resolve({Trial("b", "x"), Trial("a", "x")}, 1, Fakes(calls)));
  EXPECT_EQ(other.trials[1].key, plan.trials[0].key);
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepPlan raised, Resolve({Trial("a", "x")}, 2, Fakes(calls)));
  EXPECT_NE(raised.trials[0].key, plan.trials[0].key);
}

// What a device computes has a version beside the CPU's: raising it leaves the CPU's keys alone.
TEST(Resolve, ADevicesNumbersHaveAVersionOfTheirOwn) {
  int calls = 0;
  TrialSpec emulated = Trial("a", "x");
  emulated.set_backend("emulation");
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepPlan plan, Resolve({Trial("a", "x"), emulated}, 1, Fakes(calls)));
  EXPECT_EQ(plan.trials[0].spec.numerics_version(), 1);
  EXPECT_EQ(plan.trials[1].spec.numerics_version(), 1 + 1000 * kDeviceNumericsVersion);
}

TEST(Resolvers, HashOfAFileFollowsItsContentThroughTheCache) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/planner");
  EAQ_ASSERT_OK(MakeDirectories(folder));
  const std::string path = JoinPath(folder, "text.txt");
  EAQ_ASSERT_OK(WriteFileAtomic(path, "One text.\n"));
  CorpusRef ref;
  ref.set_name("mine");
  ref.set_path("text.txt");  // beside the spec
  const auto hash = [&] {
    const auto corpus = MakeResolvers(folder, JoinPath(folder, "cache")).corpus(ref);
    EXPECT_THAT(corpus, IsOk());
    EXPECT_EQ(corpus->path, path);
    return corpus->sha256;
  };
  const std::string first = hash();
  EXPECT_EQ(hash(), first);  // from the cache
  EXPECT_TRUE(FileExists(JoinPath(folder, "cache/hashes.json")));
  EAQ_ASSERT_OK(WriteFileAtomic(path, "Two texts.\n"));
  EXPECT_NE(hash(), first);
  EAQ_ASSERT_OK(WriteFileAtomic(JoinPath(folder, "cache/hashes.json"), "{ damaged"));
  EAQ_ASSERT_OK(WriteFileAtomic(path, "One text.\n"));
  EXPECT_EQ(hash(), first);
}

// Two people with the same text in different folders run the same trial.
TEST(Resolvers, TheKeyFollowsTheTextNotItsPlace) {
  const auto key = [](const std::string& place, const std::string& text) {
    const std::string folder = absl::StrCat(::testing::TempDir(), "/", place);
    EAQ_EXPECT_OK(MakeDirectories(folder));
    EAQ_EXPECT_OK(WriteFileAtomic(JoinPath(folder, "text.txt"), text));
    int calls = 0;
    Resolvers resolvers = Fakes(calls);
    resolvers.corpus = MakeResolvers(folder, JoinPath(folder, "cache")).corpus;
    TrialSpec trial = Trial("m", "mine");
    trial.mutable_evaluation()->mutable_domain(0)->set_path("text.txt");
    const auto plan = Resolve({trial}, 1, resolvers);
    EXPECT_THAT(plan, IsOk());
    EXPECT_EQ(plan->trials[0].spec.evaluation().domain(0).path(), JoinPath(folder, "text.txt"));  // kept, as a label
    return plan->trials[0].key;
  };
  EXPECT_EQ(key("here", "One text.\n"), key("there", "One text.\n"));
  EXPECT_NE(key("here", "One text.\n"), key("there", "Two texts.\n"));
}

// A task's pairs enter the key, where they lie and in what wrapping does not.
TEST(Resolvers, TheKeyFollowsTheTasksContent) {
  const auto key = [](const std::string& place, const std::string& bad) {
    const std::string folder = absl::StrCat(::testing::TempDir(), "/tasks_", place);
    EAQ_EXPECT_OK(MakeDirectories(folder));
    EAQ_EXPECT_OK(WriteFileAtomic(JoinPath(folder, "pairs.jsonl"),
                                  absl::StrCat("{\"sentence_good\": \"a\", \"sentence_bad\": \"", bad,
                                               "\", \"UID\": \"u\", ", "\"linguistics_term\": \"t\"}\n")));
    int calls = 0;
    Resolvers resolvers = Fakes(calls);
    resolvers.task = MakeResolvers(folder, JoinPath(folder, "cache")).task;
    TrialSpec trial = Trial("m", "mine");
    EvaluationTask& task = *trial.mutable_evaluation()->add_task();
    task.set_name("pairs");
    task.set_path("pairs.jsonl");
    const auto plan = Resolve({trial}, 1, resolvers);
    EXPECT_THAT(plan, IsOk());
    EXPECT_EQ(plan->trials[0].spec.evaluation().task(0).path(), JoinPath(folder, "pairs.jsonl"));
    EXPECT_EQ(plan->trials[0].spec.evaluation().task(0).hash().size(), 64u);
    EXPECT_EQ(plan->corpora.count("pairs"), 1u);
    return plan->trials[0].key;
  };
  const std::string first = key("here", "b");
  EXPECT_EQ(key("here", "b"), first);  // from the cache
  EXPECT_EQ(key("there", "b"), first);
  EXPECT_NE(key("there", "c"), first);
}

// One file read as two kinds of task has two identities, also where the first is remembered; next segments have no
// file.
TEST(Resolvers, TheKindOfTaskCounts) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/kinds");
  EAQ_EXPECT_OK(MakeDirectories(folder));
  EAQ_EXPECT_OK(WriteFileAtomic(JoinPath(folder, "items.jsonl"),
                                "{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 0, \"context\": \"c\", "
                                "\"continuation\": \"d\"}\n"));
  int calls = 0;
  Resolvers resolvers = Fakes(calls);
  resolvers.task = MakeResolvers(folder, JoinPath(folder, "cache")).task;
  TrialSpec trial = Trial("m", "mine");
  EvaluationTask& choice = *trial.mutable_evaluation()->add_task();
  choice.set_name("choice");
  choice.set_path("items.jsonl");
  choice.mutable_multiple_choice();
  EvaluationTask& word = *trial.mutable_evaluation()->add_task();
  word.set_name("word");
  word.set_path("items.jsonl");
  word.mutable_last_word();
  EvaluationTask& next = *trial.mutable_evaluation()->add_task();
  next.set_name("next");
  next.mutable_next_segment();
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepPlan plan, Resolve({trial}, 1, resolvers));
  const EvaluationData& evaluation = plan.trials[0].spec.evaluation();
  EXPECT_EQ(evaluation.task(0).hash().size(), 64u);
  EXPECT_EQ(evaluation.task(1).hash().size(), 64u);
  EXPECT_NE(evaluation.task(0).hash(), evaluation.task(1).hash());
  EXPECT_FALSE(evaluation.task(2).has_hash());
  trial.mutable_evaluation()->mutable_task(2)->mutable_next_segment()->set_seed(1);
  EAQ_ASSERT_OK_AND_ASSIGN(const SweepPlan other, Resolve({trial}, 1, resolvers));
  EXPECT_NE(other.trials[0].key, plan.trials[0].key);
}

TEST(Resolvers, WhatIsNotThereIsNotFound) {
  const Resolvers resolvers = MakeResolvers("/nowhere", "/nowhere/cache");
  EXPECT_THAT(resolvers.model("no/such/model"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such/model")));
  CorpusRef ref;
  ref.set_name("scriptures");
  EvaluationTask task;
  task.set_name("BLiMP");
  task.set_path("/no/such/blimp");
  EXPECT_THAT(resolvers.task(task), StatusIs(absl::StatusCode::kNotFound, HasSubstr("task BLiMP: /no/such/blimp")));
  EXPECT_THAT(resolvers.corpus(ref), StatusIs(absl::StatusCode::kNotFound, HasSubstr("scripture")));
}

}  // namespace
}  // namespace eaq

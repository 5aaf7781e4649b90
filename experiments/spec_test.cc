// Specs: lists that expand, positions of errors, malformed texts, expansion.
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/status_matchers.h"
#include "experiments/did_you_mean.h"
#include "experiments/expand.h"
#include "experiments/spec_loader.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kGood[] = R"(name: "a"  # a comment with [ and {
model { name: "m" path: "m" }
scheme { name: "W" weights { bits: [4, 3] } }
recipe { preset: "rtn" }
recipe { preset: "gptq" set { solve { gptq { damping: [0.01, 0.1] } } } }
calibration { domain { name: "x" } }
seed: [0, 1]
evaluation { domain: [{ name: "x" }, { name: "y" }] windows: 8 }
)";

absl::StatusOr<Recipe> Preset(const std::string& name) {
  if (name == "rtn") return ParseRecipe(name, "title: 'RTN' calibration { none {} } solve { nearest {} }");
  if (name == "gptq") return ParseRecipe(name, "title: 'GPTQ' calibration { random {} } solve { gptq {} }");
  if (name == "mopeq") {
    return ParseRecipe(name, "calibration { none {} } allocate { mopeq { bits: [2, 3, 4] scope: LAYER } }");
  }
  return absl::NotFoundError(absl::StrCat("there is no preset \"", name, "\"", Suggestion(name, {"rtn", "gptq"})));
}

absl::StatusOr<std::vector<TrialSpec>> All(const std::string& text) {
  EAQ_ASSIGN_OR_RETURN(const auto spec, LoadSpec("t", text));
  EAQ_ASSIGN_OR_RETURN(Expansion expansion, Expand(*spec, Preset));
  return std::move(expansion.trials);
}
std::string Replaced(const std::string& from, const std::string& to) {
  return absl::StrReplaceAll(kGood, {{from, to}});
}

TEST(Spec, ExpandsListsWhereScalarsStand) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trials, All(kGood));
  // Full precision; per scheme (2): rtn once, gptq with 2 dampings x 2 seeds.
  ASSERT_EQ(trials.size(), 1 + 2 * (1 + 2 * 2));
  EXPECT_FALSE(trials[0].has_recipe());
  EXPECT_EQ(trials[1].scheme().name(), "W bits=4");
  EXPECT_FALSE(trials[1].has_calibration());
  EXPECT_EQ(trials[4].recipe().name(), "gptq damping=0.1");
  EXPECT_EQ(trials[4].recipe().title(), "GPTQ damping=0.1");
  EXPECT_EQ(trials[4].recipe().solve().gptq().damping(), 0.1);
  EXPECT_EQ(trials[5].calibration().seed(), 1);
  EXPECT_EQ(trials[6].scheme().weights().bits(), 3);
}

TEST(Spec, AListUnderSetReplacesThePresets) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trials,
                           All(Replaced(R"(recipe { preset: "rtn" })",
                                        R"(recipe { preset: "mopeq" set { allocate { mopeq { bits: [2, 4] } } } })")));
  const MoPeq& mopeq = trials[1].recipe().allocate().mopeq();
  EXPECT_THAT(mopeq.bits(), ::testing::ElementsAre(2, 4));
  EXPECT_EQ(mopeq.scope(), MoPeq::LAYER);
}

TEST(Spec, TheOrderOfFieldsInTheTextDoesNotMatter) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto a, All(kGood));
  std::vector<std::string> lines;
  std::string reversed;
  for (size_t at = 0; at < std::string(kGood).size();) {
    const size_t end = std::string(kGood).find('\n', at);
    lines.push_back(std::string(kGood).substr(at, end - at));
    at = end + 1;
  }
  std::swap(lines[3], lines[4]);  // recipes keep their order in the reversed text
  for (size_t i = lines.size(); i-- > 0;) absl::StrAppend(&reversed, lines[i], "\r\n");
  EAQ_ASSERT_OK_AND_ASSIGN(const auto b, All("\xEF\xBB\xBF" + reversed));
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].SerializeAsString(), b[i].SerializeAsString()) << i;
}

TEST(Spec, VaryCrossesOrChangesOneThingAtATime) {
  const std::string axes =
      "vary { field: 'recipe.solve.gptq.damping' values: ['0.2', '0.3'] }"
      "vary { field: 'recipe.solve.gptq.act_order' values: 'false' }"
      "vary { field: 'recipe.activation' values: 'static {}' only: 'gptq' } seed: 0 scheme { name: 'S' }"
      "model { path: 'm' } evaluation { domain { name: 'x' } } calibration { domain { name: 'x' } }"
      "recipe { preset: 'gptq' } recipe { preset: 'rtn' }";
  const auto names = [](const std::vector<TrialSpec>& trials) {
    std::vector<std::string> names;
    for (const TrialSpec& trial : trials) names.push_back(trial.recipe().name());
    return names;
  };
  EAQ_ASSERT_OK_AND_ASSIGN(const auto cross, All(axes));
  EXPECT_EQ(names(cross), (std::vector<std::string>{"", "gptq damping=0.2 act_order=false activation=static",
                                                    "gptq damping=0.3 act_order=false activation=static", "rtn"}));
  EXPECT_TRUE(cross[1].recipe().activation().has_static_());
  EAQ_ASSERT_OK_AND_ASSIGN(const auto one, All(axes + " combine: ONE_AT_A_TIME"));
  EXPECT_EQ(names(one), (std::vector<std::string>{"", "gptq", "gptq damping=0.2", "gptq damping=0.3",
                                                  "gptq act_order=false", "gptq activation=static", "rtn"}));
}

TEST(Spec, SkipLeavesOut) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trials, All(std::string(kGood) + "skip { recipe: 'rtn' scheme: 'W bits=3' }"));
  EXPECT_EQ(trials.size(), 10);
}

TEST(Spec, ErrorsPointAtTheirPlace) {
  const auto error = [](const std::string& text) { return std::string(All(text).status().message()); };
  EXPECT_THAT(error(Replaced("bits:", "bitz:")), StartsWith("t:3:30: "));
  EXPECT_THAT(error(Replaced("bits:", "bitz:")), HasSubstr("did you mean \"bits\"?"));
  EXPECT_THAT(error(Replaced("bits:", "bitz:")),
              HasSubstr("\n  scheme { name: \"W\" weights { bitz: [4, 3] } }\n                               ^"));
  // The second value of a list, a value that parses but means nothing, an enum.
  EXPECT_THAT(error(Replaced("0.1]", "zero]")), StartsWith("t:5:62: "));
  EXPECT_THAT(error(Replaced("0.1]", "nan]")), HasSubstr("no finite number"));
  EXPECT_THAT(error(Replaced("[4, 3]", "[4, 9]")), StartsWith("t:3:30: bits 9"));
  EXPECT_THAT(error(Replaced("bits: [4, 3]", "kind: SYMMETRIC_FULL_RANGES")),
              HasSubstr("did you mean \"SYMMETRIC_FULL_RANGE\"?"));
  EXPECT_THAT(error(Replaced("\"gptq\"", "\"gtpq\"")), HasSubstr("did you mean \"gptq\"?"));
  EXPECT_THAT(error(Replaced("\"gptq\"", "\"gtpq\"")), StartsWith("t:5:10: "));
  EXPECT_THAT(error(Replaced("[4, 3]", "[]")), StartsWith("t:3:36: an empty list"));
  EXPECT_THAT(error(Replaced("windows: 8", "windows: [8, 9]")), HasSubstr("expands only inside"));
  EXPECT_THAT(error(Replaced("[0, 1]", "[1, 1]")), HasSubstr("seed 1 stands here twice"));
  EXPECT_THAT(error(std::string(kGood) + "vary { field: 'recipe.solve.gptq.dampin' values: '1' }"),
              HasSubstr("t:9:8: eaq.Gptq has no field \"dampin\"; did you mean \"damping\"?"));
  EXPECT_THAT(error(std::string(kGood) + "claim { text: 'a' recipe: 'rtm' over: 'rtn' }"),
              HasSubstr("no recipe is called \"rtm\"; did you mean \"rtn\"?"));
  EXPECT_THAT(error(std::string(kGood) + "claim { text: 'a' recipe: 'rtn' }"), HasSubstr("no recipe is called \"\""));
  EXPECT_THAT(error(std::string(kGood) + "claim { text: 'a' recipe: 'rtn' over: 'rtn' scheme: 'W9' }"),
              HasSubstr("no scheme is called \"W9\""));
  EXPECT_THAT(error(std::string(kGood) + "claim { recipe: 'rtn' over: 'rtn' }"), HasSubstr("the claim has no text"));
  const std::string two =
      std::string(kGood) + "calibration { domain { name: 'man' } } claim { text: 'a' recipe: 'rtn' ";
  EXPECT_THAT(error(two + "over: 'rtn [mann]' }"), HasSubstr("did you mean \"rtn [man]\"?"));
  EXPECT_EQ(error(two + "over: 'rtn [man]' }"), "");
  EXPECT_THAT(error(std::string(kGood) + "skip { recipe: 'rtm' }"),
              HasSubstr("t:9:8: no recipe is called \"rtm\"; did you mean \"rtn\"?"));
  EXPECT_THAT(error(std::string(kGood) + "max_trials: 10"), HasSubstr("t:9:1: the experiment expands to"));
}

TEST(Spec, TasksAreChecked) {
  const auto error = [](const std::string& task) {
    return std::string(All(Replaced("evaluation {", "evaluation { task { " + task + " }")).status().message());
  };
  EXPECT_EQ(error("name: 'BLiMP' path: 'p' protocol: LM_EVAL"), "");
  EXPECT_THAT(error("path: 'p'"), HasSubstr("the task has no name"));
  EXPECT_THAT(error("name: 'BLiMP'"), HasSubstr("task \"BLiMP\" has no path"));
  EXPECT_THAT(error("name: 'x' path: 'p' } task { name: 'x' path: 'q'"),
              HasSubstr("\"x\" is the name of another task"));
  EXPECT_THAT(error("name: 'z' path: 'p' max_items_per_paradigm: -1"), HasSubstr("must be 0 (all) or more"));
  EXPECT_THAT(error("name: 'x' path: 'p' protocol: LM_EVIL"), HasSubstr("did you mean \"LM_EVAL\"?"));
  EXPECT_EQ(error("name: 'ARC' path: 'p' multiple_choice { context_end: '\\nAnswer:' bos: NO_BOS max_length: 7 }"), "");
  EXPECT_EQ(error("name: 'LAMBADA' path: 'p' last_word {}"), "");
  EXPECT_EQ(error("name: 'next' next_segment { items: 100 candidates: 3 }"), "");
  EXPECT_THAT(error("name: 'ARC' multiple_choice {}"), HasSubstr("task \"ARC\" has no path"));
  EXPECT_THAT(error("name: 'ARC' path: 'p' protocol: LM_EVAL multiple_choice {}"),
              HasSubstr("belongs to minimal pairs"));
  EXPECT_THAT(error("name: 'ARC' path: 'p' multiple_choice { max_length: -1 }"), HasSubstr("max_length must be 0"));
  EXPECT_THAT(error("name: 'L' path: 'p' last_word { max_length: -1 }"), HasSubstr("max_length must be 0"));
  EXPECT_THAT(error("name: 'next' path: 'p' next_segment {}"), HasSubstr("next_segment has no path"));
  EXPECT_THAT(error("name: 'next' next_segment { items: 0 }"), HasSubstr("items must be 1 to 1000000"));
  EXPECT_THAT(error("name: 'next' next_segment { candidates: 1 }"), HasSubstr("candidates must be 2 to 100"));
  EXPECT_THAT(error("name: 'next' next_segment { context: 0 }"), HasSubstr("context must be"));
  EXPECT_THAT(error("name: 'next' next_segment { segment: 0 }"), HasSubstr("segment must be"));
}

TEST(Spec, HugeExpansionsAreRefusedBeforeTheyAreBuilt) {
  std::string text = kGood;
  const std::string values = [] {
    std::string all;
    for (int i = 0; i < 500; ++i) absl::StrAppend(&all, i == 0 ? "'" : ", '", i, "'");
    return all;
  }();
  for (const char* field : {"damping", "block", "clip.steps", "clip.max_shrink"}) {
    absl::StrAppend(&text, "vary { field: 'recipe.solve.gptq.", field, "' values: [", values, "] }\n");
  }
  EXPECT_THAT(All(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("variants")));
}

TEST(Spec, MalformedTextsNeverCrash) {
  const std::string good = kGood;
  for (size_t n = 0; n < good.size(); ++n) All(good.substr(0, n)).status().IgnoreError();  // cut off anywhere
  for (size_t n = 0; n < good.size(); ++n) {
    for (const char c : {'[', ']', '{', '}', '"', '<', '#', '\xff', '\0', ','}) {
      std::string bad = good;
      bad[n] = c;
      All(bad).status().IgnoreError();
    }
  }
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "recipe { ";
  EXPECT_FALSE(All(deep).ok());
  EXPECT_FALSE(All(std::string(100000, '[')).ok());
  EXPECT_FALSE(All("scheme { weights { bits: [" + std::string(100000, ',')).ok());
  EXPECT_THAT(All("name: \"\xC0\xAF\""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("t:1:8: byte 0xc0")));
}

// A recipe may name the schemes it runs under; its lists go with it, and another scheme has no row of it.
TEST(Spec, RecipesOfSomeSchemes) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trials,
                           All(Replaced("recipe { preset: \"gptq\"", "recipe { scheme: 'W bits=3' preset: \"gptq\"")));
  ASSERT_EQ(trials.size(), 1 + 1 + (1 + 2 * 2));
  EXPECT_EQ(trials[1].recipe().name(), "rtn");
  EXPECT_EQ(trials[2].scheme().name(), "W bits=3");
  EXPECT_EQ(trials[2].recipe().name(), "rtn");
  for (size_t i = 3; i < trials.size(); ++i) EXPECT_EQ(trials[i].scheme().name(), "W bits=3") << i;
  EXPECT_THAT(All(Replaced("recipe { preset: \"rtn\"", "recipe { scheme: ['W bits=3', 'W bits=5'] preset: \"rtn\"")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no scheme is called \"W bits=5\"")));
}

TEST(Spec, CorpusOfMalformedFiles) {
  const auto folder = FindInRepository("experiments/testdata/malformed");
  EAQ_ASSERT_OK(folder);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDirectory(*folder));
  EXPECT_GE(names.size(), 8);
  for (const std::string& name : names) {
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(JoinPath(*folder, name)));
    const auto trials = All(text);
    EXPECT_THAT(trials, StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("t:"))) << name;
  }
}

TEST(Spec, TheShippedOnesParse) {
  for (const char* name : {"default", "cross_domain", "ablation", "acceptance", "stress", "blimp", "hybrid_ablation"}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string path,
                             FindInRepository(absl::StrCat("experiments/specs/", name, ".textproto")));
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(path));
    EAQ_ASSERT_OK(LoadSpec(name, text));
  }
}

// Every file of specs/, by the presets that are shipped.
TEST(Spec, TheShippedOnesExpand) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string folder, FindInRepository("experiments/specs"));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDirectory(folder));
  size_t specs = 0;
  for (const std::string& name : names) {
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(JoinPath(folder, name)));
    EAQ_ASSERT_OK_AND_ASSIGN(const auto spec, LoadSpec(name, text));
    EAQ_ASSERT_OK_AND_ASSIGN(const Expansion expansion, Expand(*spec, LoadShippedPreset));
    EXPECT_GT(expansion.trials.size(), 1u) << name;
    ++specs;
  }
  EXPECT_GE(specs, 11u);
}

TEST(Spec, AModelWithOutliersIsAnotherModel) {
  const std::string with = "model { name: 'm' path: 'm' outliers { factor: 8 } }";
  EAQ_ASSERT_OK_AND_ASSIGN(const auto trials, All(kGood + with));
  EXPECT_EQ(trials.size(), 2 * (1 + 2 * (1 + 2 * 2)));
  EXPECT_THAT(All(kGood + with + with), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("named twice")));
  EXPECT_THAT(All(std::string(kGood) + "model { name: 'n' path: 'm' }"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("named twice")));
}

TEST(DidYouMean, FindsNeighbours) {
  EXPECT_EQ(DidYouMean("dampin", {"block", "damping"}), "damping");
  EXPECT_EQ(DidYouMean("jbos", {"plan", "jobs"}), "jobs");
  EXPECT_EQ(DidYouMean("elephant", {"plan", "jobs"}), "");
  EXPECT_EQ(EditDistance("abcd", "abdc"), 1);
}

}  // namespace
}  // namespace eaq

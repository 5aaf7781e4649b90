// Generated ablations and the forms of an experiment: what is expanded, under which names, and what is refused.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/status_matchers.h"
#include "eaq/ledger/trial_key.h"
#include "experiments/did_you_mean.h"
#include "experiments/equal_form.h"
#include "experiments/expand.h"
#include "experiments/recipe_parts.h"
#include "experiments/spec_loader.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<Recipe> Preset(const std::string& name) {
  if (name == "rtn") {
    return ParseRecipe(name,
                       "name: 'rtn' title: 'RTN' calibration { none {} } solve { nearest {} } router { keep {} }"
                       "activation { dynamic {} }");
  }
  if (name == "rtn_clip") {
    return ParseRecipe(name,
                       "name: 'rtn_clip' title: 'RTN+clip' calibration { none {} } "
                       "solve { nearest { clip {} } } router { keep {} } activation { dynamic {} }");
  }
  if (name == "gptq") {
    return ParseRecipe(name,
                       "name: 'gptq' title: 'GPTQ' calibration { random {} } solve { gptq {} } router { keep {} }"
                       "activation { dynamic {} }");
  }
  return absl::NotFoundError(
      absl::StrCat("there is no preset \"", name, "\"", Suggestion(name, {"rtn", "rtn_clip", "gptq"})));
}

constexpr char kSurroundings[] =
    "model { name: 'm' path: 'm' } scheme { name: 'W' weights { bits: 4 } } calibration { domain { name: 'x' } } "
    "evaluation { domain { name: 'x' } } ";
// GPTQ with smoothing and a quantized router: three parts away from RTN.
constexpr char kHybrid[] =
    "recipe { preset: 'rtn' } recipe { preset: 'gptq' set { name: 'hybrid' title: 'Hybrid' "
    "transform { smoothquant {} } router { quantize {} } } } ";

absl::StatusOr<Expansion> All(const std::string& text) {
  EAQ_ASSIGN_OR_RETURN(const auto spec, LoadSpec("t", std::string(kSurroundings) + text));
  return Expand(*spec, Preset);
}
std::string Refused(const std::string& text) { return std::string(All(text).status().message()); }

// "form/recipe" of the trials of ablation arms (or of the experiment's own recipes).
std::vector<std::string> Names(const Expansion& e, bool arms) {
  std::vector<std::string> names;
  for (size_t i = 0; i < e.trials.size(); ++i) {
    if (!e.trials[i].has_recipe() || (e.tags[i].arm >= 0) != arms) continue;
    names.push_back(absl::StrCat(e.tags[i].form, e.tags[i].form.empty() ? "" : "/", e.trials[i].recipe().name()));
  }
  return names;
}
const Recipe& Arm(const Expansion& e, const std::string& name) {
  for (const AblationArm& arm : e.ablations.at(0).arms) {
    if (arm.recipe.name() == name) return arm.recipe;
  }
  ADD_FAILURE() << "no arm " << name;
  return Recipe::default_instance();
}
std::vector<std::string> Paths(const Recipe& a, const Recipe& b) {
  std::vector<std::string> paths;
  for (const RecipeDifference& d : RecipeDifferences(a, b)) paths.push_back(d.path);
  return paths;
}
Recipe Parsed(const std::string& text) { return ParseRecipe("r", text).value(); }

TEST(RecipeParts, DifferencesBySlotAndByOption) {
  const Recipe a = Parsed("solve { gptq { damping: 0.01 } } router { keep {} } activation { dynamic {} }");
  EXPECT_THAT(Paths(a, a), IsEmpty());
  // A default spelled out is no difference; labels are none.
  EXPECT_THAT(Paths(a, Parsed("name: 'b' title: 'B' solve { gptq {} } router { keep {} } activation { dynamic { "
                              "clip_ratio: 1.0 } } propagate: QUANTIZED")),
              IsEmpty());
  EXPECT_THAT(
      Paths(a, Parsed("solve { gptq { damping: 0.1 clip {} } } router { quantize {} } activation { dynamic { "
                      "clip_ratio: 0.9 } } propagate: FULL_PRECISION")),
      ElementsAre("solve.gptq.damping", "solve.gptq.clip", "router", "activation.dynamic.clip_ratio", "propagate"));
  EXPECT_THAT(Paths(a, Parsed("transform { smoothquant {} } solve { nearest {} } activation { dynamic {} }")),
              ElementsAre("transform.smoothquant", "solve", "router"));
  EXPECT_THAT(
      Paths(Parsed("transform { smoothquant { alpha: 0.5 } }"), Parsed("transform { smoothquant { alpha: 0.6 } }")),
      ElementsAre("transform.smoothquant.alpha"));
  EXPECT_THAT(
      Paths(Parsed("transform { smoothquant {} }"), Parsed("transform { smoothquant {} } transform { smoothquant "
                                                           "{ alpha: 0.6 } }")),
      ElementsAre("transform.smoothquant#2"));
}

// Options of a stage from outside the tree are compared like others where their message is linked in.
TEST(RecipeParts, ExternalStages) {
  const std::string any = "solve { external { [type.googleapis.com/eaq.Gptq] { ";
  const Recipe a = Parsed(any + "damping: 0.1 } } }"), b = Parsed(any + "damping: 0.2 block: 64 } } }");
  EXPECT_THAT(Paths(a, b), ElementsAre("solve.eaq.Gptq.damping", "solve.eaq.Gptq.block"));
}

// Any subset: what is taken is as in the whole, what is not as in the base.
TEST(RecipeParts, MixingTakesExactlyTheNamedDifferences) {
  const Recipe a = Parsed(
      "name: 'a' calibration { none {} } transform { smoothquant { alpha: 0.3 } } solve { gptq { damping: 0.1 } }");
  const Recipe b = Parsed(
      "calibration { random {} } transform { smoothquant { alpha: 0.5 } } transform { smoothquant { alpha: 0.7 } } "
      "solve { gptq { clip { steps: 10 } } } router { quantize {} } propagate: FULL_PRECISION");
  const std::vector<std::string> paths = Paths(a, b);
  ASSERT_EQ(paths.size(), 7u);
  for (int bits = 0; bits < 1 << 7; ++bits) {
    std::set<std::string> take, rest;
    for (int i = 0; i < 7; ++i) (bits >> i & 1 ? take : rest).insert(paths[i]);
    const Recipe mixed = MixRecipes(a, b, take);
    const std::vector<std::string> to_b = Paths(mixed, b), to_a = Paths(a, mixed);
    EXPECT_EQ(std::set<std::string>(to_b.begin(), to_b.end()), rest) << bits;
    EXPECT_EQ(std::set<std::string>(to_a.begin(), to_a.end()), take) << bits;
    EXPECT_EQ(mixed.name(), "a");
  }
}

TEST(Ablation, ExpandsToBaseWholeEachPartAndEachPair) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const Expansion e,
      All(std::string(kHybrid) +
          "ablation { of: 'hybrid' relative_to: 'rtn' leave_one_out: true add_one_in: true pairs: true }"));
  // The pairs of three parts are the whole without the third: here once.
  EXPECT_THAT(Names(e, true), ElementsAre("rtn", "hybrid", "rtn + smoothquant", "rtn + gptq", "rtn + router=quantize",
                                          "hybrid - smoothquant", "hybrid - gptq", "hybrid - router=quantize"));
  EXPECT_THAT(Names(e, false), ElementsAre("rtn", "hybrid"));
  const Recipe& smoothed = Arm(e, "rtn + smoothquant");
  EXPECT_TRUE(smoothed.solve().has_nearest());
  EXPECT_EQ(smoothed.transform_size(), 1);
  EXPECT_EQ(smoothed.title(), "RTN + smoothquant");
  EXPECT_TRUE(smoothed.calibration().has_random());  // the part needs the data that the whole reads
  const Recipe& without = Arm(e, "hybrid - gptq");
  EXPECT_TRUE(without.solve().has_nearest());
  EXPECT_TRUE(without.router().has_quantize());
  ASSERT_EQ(e.ablations.size(), 1u);
  EXPECT_THAT(e.ablations[0].notes, ElementsAre(HasSubstr("rtn reads none")));
  // Both ends mean what they mean outside the ablation: the same key, so the same trial.
  std::vector<std::string> keys;
  for (const TrialSpec& t : e.trials) keys.push_back(TrialKey(t));
  EXPECT_EQ(keys[1], keys[3]);
  EXPECT_EQ(keys[2], keys[4]);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::unique(keys.begin(), keys.end()) - keys.begin(), 1 + 8);
}

TEST(Ablation, FieldsGroupIntoNamedParts) {
  const std::string text = std::string(kHybrid) + "ablation { of: 'hybrid' relative_to: 'rtn' pairs: true ";
  EAQ_ASSERT_OK_AND_ASSIGN(const Expansion e,
                           All(text + "part { name: 'smoothing' field: ['transform'] } part { name: 'rest' field: "
                                      "['solve.gptq', 'router'] } }"));
  EXPECT_THAT(Names(e, true), ElementsAre("rtn", "hybrid", "rtn + smoothing", "rtn + rest"));
  EXPECT_THAT(e.ablations[0].parts[1].fields, ElementsAre("solve", "router"));
  // Calibration, when a part claims it, is no longer taken along.
  EAQ_ASSERT_OK_AND_ASSIGN(const Expansion c, All(text + "part { name: 'data' field: 'calibration' } }"));
  EXPECT_TRUE(Arm(c, "rtn + router=quantize").calibration().has_none());
  EXPECT_TRUE(Arm(c, "rtn + data").calibration().has_random());
}

TEST(Ablation, PresetsNeedNotBeRecipesOfTheExperiment) {
  EAQ_ASSERT_OK_AND_ASSIGN(
      const Expansion e,
      All("recipe { preset: 'rtn' } ablation { of: 'rtn_clip' relative_to: 'rtn' add_one_in: true }"));
  EXPECT_THAT(Names(e, true), ElementsAre("rtn", "rtn_clip"));  // one part: alone it is the whole
  EXPECT_THAT(e.ablations[0].parts[0].name, "clip");
}

TEST(Ablation, WhatCannotBePlannedIsRefused) {
  const std::string h = kHybrid;
  EXPECT_THAT(Refused(h + "ablation { of: 'hibrid' relative_to: 'rtn' pairs: true }"),
              HasSubstr("no recipe here is called \"hibrid\"; did you mean \"hybrid\"?"));
  EXPECT_THAT(
      Refused(h + "ablation { of: 'hybrid' relative_to: 'gptqq' pairs: true }"),
      HasSubstr("no recipe here is called \"gptqq\", and there is no preset \"gptqq\"; did you mean \"gptq\"?"));
  EXPECT_THAT(Refused(h + "ablation { of: 'hybrid' pairs: true }"), HasSubstr("does not say `relative_to`"));
  EXPECT_THAT(Refused(h + "ablation { of: 'rtn' relative_to: 'rtn' pairs: true }"), HasSubstr("do not differ"));
  EXPECT_THAT(Refused(h + "ablation { of: 'hybrid' relative_to: 'rtn' }"), HasSubstr("asks for nothing"));
  const std::string open = h + "ablation { of: 'hybrid' relative_to: 'rtn' pairs: true ";
  EXPECT_THAT(Refused(open + "part { name: 'a' field: 'transform.smothquant' } }"),
              HasSubstr("matches no difference between rtn and hybrid; did you mean \"transform.smoothquant\"?"));
  EXPECT_THAT(Refused(open + "part { name: 'a' field: 'propagate' } }"), HasSubstr("they differ in: calibration, "));
  EXPECT_THAT(Refused(open + "part { name: 'a' field: 'solve' } part { name: 'b' field: 'solve.gptq' } }"),
              HasSubstr("which part \"a\" has already"));
  EXPECT_THAT(Refused(open + "part { field: 'solve' } }"), HasSubstr("the part has no name"));
  EXPECT_THAT(Refused(open + "part { name: 'gptq' field: 'transform' } }"), HasSubstr("two parts are called \"gptq\""));
  // Positions point into the ablation.
  EXPECT_THAT(Refused(h + "\nablation { of: 'hibrid' relative_to: 'rtn' pairs: true }"), HasSubstr("t:2:12: "));
}

TEST(Forms, EqualWritesTreatmentsAndSharedOptions) {
  const Recipe fragment = Parsed(
      "calibration { balanced {} } solve { nearest { clip { steps: 50 } } } router { keep {} } "
      "activation { dynamic { clip_ratio: 0.9 } }");
  const Recipe gptq = WriteEqual(Parsed("name: 'g' calibration { random {} } solve { gptq { damping: 0.1 } } router { "
                                        "quantize {} } activation { static {} }"),
                                 fragment);
  EXPECT_EQ(gptq.name(), "g");
  EXPECT_TRUE(gptq.calibration().has_balanced());
  EXPECT_EQ(gptq.solve().gptq().clip().steps(), 50);  // the solver stays, its clip search is the shared one
  EXPECT_EQ(gptq.solve().gptq().damping(), 0.1);
  EXPECT_TRUE(gptq.router().has_keep());
  EXPECT_EQ(gptq.activation().dynamic().clip_ratio(), 0.9);
  const Recipe rtn = WriteEqual(Parsed("calibration { none {} } solve { nearest {} }"), fragment);
  EXPECT_TRUE(rtn.calibration().has_none());  // it reads no data, and goes on reading none
  EXPECT_EQ(rtn.solve().nearest().clip().steps(), 50);
  EXPECT_TRUE(rtn.router().has_keep());
  // Scalars of another kind of stage, and transforms the method has not, stay out.
  const Recipe other = WriteEqual(Parsed("solve { nearest {} }"),
                                  Parsed("transform { smoothquant {} } solve { gptq { damping: 0.5 } }"));
  EXPECT_TRUE(SameRecipe(other, Parsed("solve { nearest {} }")));
}

constexpr char kEqual[] = "equal { solve { nearest { clip {} } } router { keep {} } activation { dynamic {} } } ";

TEST(Forms, BothFormsAreExpandedAndTagged) {
  EAQ_ASSERT_OK_AND_ASSIGN(const Expansion e,
                           All(std::string("recipe { preset: 'rtn' } recipe { preset: 'rtn_clip' } recipe { preset: "
                                           "'gptq' } form: [AS_PUBLISHED, EQUAL] ") +
                               kEqual));
  // RTN with the clip search of the others is RTN+clip: one row under both titles.
  EXPECT_THAT(Names(e, false),
              ElementsAre("as published/rtn", "as published/rtn_clip", "as published/gptq", "equal/rtn", "equal/gptq"));
  EXPECT_EQ(e.trials[4].recipe().title(), "RTN = RTN+clip");
  EXPECT_EQ(TrialKey(e.trials[4]), TrialKey(e.trials[2]));
  EXPECT_NE(TrialKey(e.trials[5]), TrialKey(e.trials[3]));  // GPTQ got a clip search
  EXPECT_EQ(e.tags[0].form, "");                            // full precision belongs to all
}

TEST(Forms, AnAblationOfWhatWasMadeEqualIsLeftOut) {
  const std::string forms = std::string("form: [AS_PUBLISHED, EQUAL] ") + kEqual;
  EAQ_ASSERT_OK_AND_ASSIGN(
      const Expansion gone,
      All("recipe { preset: 'rtn' } ablation { of: 'rtn_clip' relative_to: 'rtn' add_one_in: true } " + forms));
  EXPECT_EQ(gone.ablations.size(), 1u);
  EXPECT_THAT(Names(gone, true), ElementsAre("as published/rtn", "as published/rtn_clip"));
  EAQ_ASSERT_OK_AND_ASSIGN(const Expansion e, All(std::string(kHybrid) +
                                                  "ablation { of: 'hybrid' relative_to: 'rtn' leave_one_out: true "
                                                  "part { name: 'router' field: 'router' } } " +
                                                  forms));
  ASSERT_EQ(e.ablations.size(), 2u);
  EXPECT_EQ(e.ablations[0].parts.size(), 3u);
  EXPECT_EQ(e.ablations[1].parts.size(), 2u);
  EXPECT_THAT(e.ablations[1].notes[0], HasSubstr("made equal"));
}

TEST(Forms, WhatIsMissingIsSaid) {
  const std::string r = "recipe { preset: 'rtn' } ";
  EXPECT_THAT(Refused(r + "form: EQUAL"), HasSubstr("needs equal"));
  EXPECT_THAT(Refused(r + kEqual), HasSubstr("add form: [AS_PUBLISHED, EQUAL]"));
  EXPECT_THAT(Refused(r + "form: EQUAL equal {}"), HasSubstr("makes nothing equal"));
  EXPECT_THAT(Refused(r + "form: EQUAL equal { name: 'x' }"), HasSubstr("no name, no title"));
  EXPECT_THAT(Refused(r + "form: [EQUAL, EQUAL] " + kEqual), HasSubstr("this form stands here twice"));
}

}  // namespace
}  // namespace eaq

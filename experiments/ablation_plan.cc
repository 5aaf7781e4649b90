#include "experiments/ablation_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "experiments/did_you_mean.h"
#include "experiments/recipe_parts.h"

namespace eaq {
namespace {

constexpr size_t kMaxParts = 16;

// The differences that Part P of the ablation names, taken out of FREE.
bool ClaimPart(const Experiment::Ablation& ablation, int p, bool lenient, const std::vector<RecipeDifference>& all,
               std::map<std::string, std::string>& owner, AblationPlan& plan, AblationError& error) {
  const Experiment::Ablation::Part& part = ablation.part(p);
  const auto fail = [&](const std::string& message) {
    error = {"part", message, p};
    return false;
  };
  if (part.name().empty()) return fail("the part has no name");
  if (part.field().empty()) return fail(absl::StrCat("part \"", part.name(), "\" names no field"));
  AblationPart made{part.name(), {}};
  std::vector<std::string> unmatched;
  for (const std::string& field : part.field()) {
    bool matched = false;
    for (const RecipeDifference& d : all) {
      if (!MeansDifference(field, d)) continue;
      matched = true;
      const auto [at, is_new] = owner.emplace(d.path, part.name());
      if (is_new) made.fields.push_back(d.path);
      if (!is_new && at->second != part.name()) {
        return fail(absl::StrCat("part \"", part.name(), "\": field \"", field, "\" means ", d.path, ", which part \"",
                                 at->second, "\" has already"));
      }
    }
    if (!matched) unmatched.push_back(field);
  }
  if (!unmatched.empty() && !lenient) {
    std::vector<std::string> known;
    for (const RecipeDifference& d : all) known.push_back(d.path);
    return fail(absl::StrCat("part \"", part.name(), "\": field \"", unmatched[0], "\" matches no difference between ",
                             ablation.relative_to(), " and ", ablation.of(), Suggestion(unmatched[0], known),
                             "; they differ in: ", absl::StrJoin(known, ", ")));
  }
  if (made.fields.empty()) {
    plan.notes.push_back(
        absl::StrCat("Part ", part.name(), ": made equal in this form, so there is nothing to measure"));
    return true;
  }
  plan.parts.push_back(std::move(made));
  return true;
}

class ArmMaker {
 public:
  ArmMaker(const Recipe& base, const Recipe& full, bool calibration_follows, AblationPlan& plan)
      : base_(base), full_(full), follows_(calibration_follows), plan_(plan) {}

  void Add(std::vector<int> on, const std::string& name, const std::string& title) {
    std::sort(on.begin(), on.end());
    if (!seen_.insert(on).second) return;
    std::set<std::string> take;
    for (const int p : on) take.insert(plan_.parts[p].fields.begin(), plan_.parts[p].fields.end());
    const bool all = on.size() == plan_.parts.size();
    // Both ends as they are; what is in between reads data when one of the ends does.
    if (follows_ && (all || (!on.empty() && base_.calibration().has_none()))) take.insert("calibration");
    AblationArm arm{std::move(on), MixRecipes(base_, full_, take)};
    arm.recipe.set_name(name);
    arm.recipe.clear_title();
    if (!title.empty()) arm.recipe.set_title(title);
    plan_.arms.push_back(std::move(arm));
  }

 private:
  const Recipe &base_, &full_;
  const bool follows_;
  AblationPlan& plan_;
  std::set<std::vector<int>> seen_;
};

}  // namespace

bool PlanAblation(const Experiment::Ablation& ablation, const Recipe& base, const Recipe& full, bool lenient,
                  AblationPlan& plan, AblationError& error) {
  plan = {};
  plan.of = full.name();
  plan.relative_to = base.name();
  plan.pairs = ablation.pairs();
  plan.add_one_in = ablation.add_one_in() || ablation.pairs();
  plan.leave_one_out = ablation.leave_one_out();
  if (!plan.add_one_in && !plan.leave_one_out) {
    error = {"", "the ablation asks for nothing: add add_one_in: true, leave_one_out: true or pairs: true", -1};
    return false;
  }
  const std::vector<RecipeDifference> all = RecipeDifferences(base, full);
  std::map<std::string, std::string> owner;  // path of a difference -> its part
  for (int p = 0; p < ablation.part_size(); ++p) {
    if (!ClaimPart(ablation, p, lenient, all, owner, plan, error)) return false;
  }
  const bool one_reads_none = base.calibration().has_none() != full.calibration().has_none();
  bool follows = false;
  for (const RecipeDifference& d : all) {
    if (owner.count(d.path) > 0) continue;
    if (d.path == "calibration" && one_reads_none) {
      follows = true;
      continue;
    }
    plan.parts.push_back({d.name, {d.path}});
  }
  if (plan.parts.empty()) {
    error = {"of",
             absl::StrCat("\"", ablation.of(), "\" and \"", ablation.relative_to(), "\" do not differ",
                          follows ? " but in whether they read calibration data" : "",
                          ": there is no part to leave out or add"),
             -1};
    return false;
  }
  if (plan.parts.size() > kMaxParts) {
    error = {"",
             absl::StrCat(plan.parts.size(), " parts, at most ", kMaxParts,
                          ": group fields that belong together, part { name: ... field: [...] }"),
             -1};
    return false;
  }
  std::set<std::string> names;
  for (const AblationPart& part : plan.parts) {
    if (!names.insert(part.name).second) {
      error = {"part", absl::StrCat("two parts are called \"", part.name, "\""), 0};
      return false;
    }
  }
  if (follows) {
    plan.notes.push_back(absl::StrCat("Calibration data: ", base.calibration().has_none() ? plan.relative_to : plan.of,
                                      " reads none; every recipe in between reads what ",
                                      base.calibration().has_none() ? plan.of : plan.relative_to, " reads"));
  }

  const bool titles = base.has_title() && full.has_title();
  const int n = static_cast<int>(plan.parts.size());
  std::vector<int> every;
  for (int p = 0; p < n; ++p) every.push_back(p);
  ArmMaker maker(base, full, follows, plan);
  const auto named = [&](const Recipe& from, const std::string& suffix) {
    return std::make_pair(from.name() + suffix, titles ? from.title() + suffix : std::string());
  };
  const auto add = [&](const std::vector<int>& on, const Recipe& from, const std::string& suffix) {
    const auto [name, title] = named(from, suffix);
    maker.Add(on, name, title);
  };
  add({}, base, "");
  add(every, full, "");
  for (int p = 0; plan.add_one_in && p < n; ++p) add({p}, base, absl::StrCat(" + ", plan.parts[p].name));
  for (int p = 0; plan.leave_one_out && p < n; ++p) {
    std::vector<int> rest = every;
    rest.erase(rest.begin() + p);
    add(rest, full, absl::StrCat(" - ", plan.parts[p].name));
  }
  for (int p = 0; plan.pairs && p < n; ++p) {
    for (int q = p + 1; q < n; ++q) {
      add({p, q}, base, absl::StrCat(" + ", plan.parts[p].name, " + ", plan.parts[q].name));
    }
  }
  return true;
}

}  // namespace eaq

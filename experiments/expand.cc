#include "experiments/expand.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "experiments/did_you_mean.h"
#include "experiments/equal_form.h"
#include "experiments/field_path.h"
#include "experiments/recipe_parts.h"

namespace eaq {
namespace {

using google::protobuf::FieldDescriptor;
using Path = std::vector<std::pair<std::string, int>>;

constexpr size_t kMaxVariants = 100000;

std::string Short(absl::string_view value) {
  std::string text(absl::StripSuffix(absl::StripPrefix(value, "{"), "}"));
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == '{' || c == '}' || c == ' '; }),
             text.end());
  return text.empty() ? "on" : text;
}

void SetLabel(Recipe& m, const std::string& suffix) {
  if (m.has_title()) m.set_title(m.title() + suffix);
  m.set_name(m.name() + suffix);
}
void SetLabel(Scheme& m, const std::string& suffix) { m.set_name(m.name() + suffix); }
void SetLabel(CalibrationData&, const std::string&) {}
std::string NameOf(const Recipe& m) { return m.name(); }
std::string NameOf(const Scheme& m) { return m.name(); }
std::string NameOf(const CalibrationData&) { return ""; }

// One axis on one component: choices of (label, value), made by `apply`.
template <typename T>
struct Axis {
  std::string label;
  std::vector<std::string> values;
  std::function<absl::Status(T&, const std::string&)> apply;
  bool keeps_original = false;
};

template <typename T>
absl::StatusOr<std::vector<T>> Multiply(const T& base, const std::vector<Axis<T>>& axes, bool one_at_a_time) {
  std::vector<T> all = {base};
  const std::vector<T> original = all;
  for (const Axis<T>& axis : axes) {
    const bool alone = one_at_a_time && axis.keeps_original;
    std::vector<T> next = alone ? all : std::vector<T>();
    const std::vector<T>& from = alone ? original : all;
    if (from.size() * axis.values.size() > kMaxVariants) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxVariants, " variants of one entry"));
    }
    for (const T& one : from) {
      for (const std::string& value : axis.values) {
        T variant = one;
        EAQ_RETURN_IF_ERROR(axis.apply(variant, value));
        SetLabel(variant, absl::StrCat(" ", axis.label, "=", Short(value)));
        next.push_back(std::move(variant));
      }
    }
    all = std::move(next);
  }
  return all;
}

using FieldPath = std::vector<std::pair<std::string, int>>;

class Expander {
 public:
  Expander(const LoadedSpec& spec, const PresetLoader& load_preset)
      : spec_(spec), e_(spec.experiment), load_preset_(load_preset), varied_(e_.vary_size(), false) {}

  absl::StatusOr<Expansion> Run() {
    EAQ_RETURN_IF_ERROR(CheckWhole());
    EAQ_ASSIGN_OR_RETURN(const std::vector<Scheme> schemes, Schemes());
    EAQ_ASSIGN_OR_RETURN(const std::vector<Recipe> recipes, Recipes());
    EAQ_ASSIGN_OR_RETURN(const std::vector<CalibrationData> calibrations, Calibrations());
    for (int i = 0; i < e_.vary_size(); ++i) {
      if (!varied_[i]) {
        return spec_.Error(
            {{"vary", i}, {"field", -1}},
            absl::StrCat("\"", e_.vary(i).field(), "\" fits none of the recipes, schemes or calibrations here"));
      }
    }
    const std::vector<uint64_t> seeds =
        e_.seed().empty() ? std::vector<uint64_t>{0} : std::vector<uint64_t>(e_.seed().begin(), e_.seed().end());
    EAQ_ASSIGN_OR_RETURN(const std::vector<FormRecipes> forms, Forms(recipes));
    EAQ_RETURN_IF_ERROR(CheckNames(schemes, recipes));
    double count = 0;
    for (const FormRecipes& form : forms) {
      double rows = 1.0 * form.recipes.size();
      for (const int a : form.ablations) rows += 1.0 * out_.ablations[a].arms.size();
      count += rows * e_.model_size() * schemes.size() * std::max<double>(1, 1.0 * calibrations.size() * seeds.size());
    }
    if (count > e_.max_trials()) {
      return spec_.Error({{"max_trials", -1}}, absl::StrCat("the experiment expands to ", static_cast<int64_t>(count),
                                                            " trials, more than max_trials: ", e_.max_trials()));
    }
    for (const ModelRef& model : e_.model()) {
      TrialSpec full;
      *full.mutable_model() = model;
      *full.mutable_evaluation() = e_.evaluation();
      out_.trials.push_back(full);
      out_.tags.emplace_back();
      for (const FormRecipes& form : forms) {
        for (const Scheme& scheme : schemes) {
          *full.mutable_scheme() = scheme;
          EAQ_RETURN_IF_ERROR(AddRows(full, form, calibrations, seeds));
        }
      }
    }
    return std::move(out_);
  }

 private:
  // The recipes of one form of the experiment.
  struct FormRecipes {
    std::string name;
    bool equal = false;
    std::vector<Recipe> recipes;
    std::vector<int> ablations;  // indices into out_.ablations
  };

  absl::StatusOr<std::vector<FormRecipes>> Forms(const std::vector<Recipe>& recipes) {
    std::vector<FormRecipes> forms;
    if (e_.form().empty()) forms.push_back({"", false, recipes, {}});
    for (int i = 0; i < e_.form_size(); ++i) {
      FormRecipes form{
          e_.form(i) == Experiment::EQUAL ? "equal" : "as published", e_.form(i) == Experiment::EQUAL, {}, {}};
      for (const FormRecipes& other : forms) {
        if (other.name == form.name) return spec_.Error({{"form", i}}, "this form stands here twice");
      }
      if (form.equal && !e_.has_equal()) {
        return spec_.Error({{"form", i}}, "the form EQUAL needs equal { ... }: what is written over every recipe");
      }
      for (const Recipe& recipe : recipes) {
        form.recipes.push_back(form.equal ? WriteEqual(recipe, e_.equal()) : recipe);
      }
      forms.push_back(std::move(form));
    }
    if (e_.has_equal()) {
      const absl::Status fragment = CheckEqualFragment(e_.equal());
      if (!fragment.ok()) return spec_.Error({{"equal", -1}}, fragment.message());
      if (!std::any_of(forms.begin(), forms.end(), [](const FormRecipes& f) { return f.equal; })) {
        return spec_.Error({{"equal", -1}}, "`equal` is written for the form EQUAL: add form: [AS_PUBLISHED, EQUAL]");
      }
    }
    for (int a = 0; a < e_.ablation_size(); ++a) EAQ_RETURN_IF_ERROR(AddAblation(a, recipes, forms));
    return forms;
  }

  // The recipe that FIELD of ablation A names: of this experiment, or a preset.
  absl::StatusOr<Recipe> AblationRecipe(int a, const std::string& field, const std::string& name,
                                        const std::vector<Recipe>& recipes) const {
    std::vector<std::string> known;
    for (const Recipe& recipe : recipes) {
      if (recipe.name() == name) return recipe;
      known.push_back(recipe.name());
    }
    if (name.empty()) return spec_.Error({{"ablation", a}}, absl::StrCat("the ablation does not say `", field, "`"));
    absl::StatusOr<Recipe> preset = load_preset_(name);
    if (preset.ok()) {
      if (!preset->has_name()) preset->set_name(name);
      return preset;
    }
    const bool near = !DidYouMean(name, known).empty();
    return spec_.Error({{"ablation", a}, {field, -1}},
                       near ? absl::StrCat("no recipe here is called \"", name, "\"", Suggestion(name, known))
                            : absl::StrCat("no recipe here is called \"", name, "\", and ", preset.status().message()));
  }

  absl::Status AddAblation(int a, const std::vector<Recipe>& recipes, std::vector<FormRecipes>& forms) {
    const Experiment::Ablation& ablation = e_.ablation(a);
    if (e_.scheme().empty()) return spec_.Error({{"ablation", a}}, "an ablation but no scheme: add scheme { ... }");
    EAQ_ASSIGN_OR_RETURN(const Recipe full, AblationRecipe(a, "of", ablation.of(), recipes));
    EAQ_ASSIGN_OR_RETURN(const Recipe base, AblationRecipe(a, "relative_to", ablation.relative_to(), recipes));
    AblationPlan plan, equal;
    AblationError error;
    const auto blame = [&] {
      std::vector<std::pair<std::string, int>> path = {{"ablation", a}};
      if (!error.field.empty()) path.emplace_back(error.field, error.index);
      return spec_.Error(path, error.message);
    };
    // What cannot be planned from the recipes as they are is a mistake; what the form EQUAL made equal is none.
    if (!PlanAblation(ablation, base, full, /*lenient=*/false, plan, error)) return blame();
    for (FormRecipes& form : forms) {
      if (form.equal && !PlanAblation(ablation, WriteEqual(base, e_.equal()), WriteEqual(full, e_.equal()),
                                      /*lenient=*/true, equal, error)) {
        continue;
      }
      form.ablations.push_back(static_cast<int>(out_.ablations.size()));
      out_.ablations.push_back(form.equal ? equal : plan);
    }
    return absl::OkStatus();
  }

  // The trials of one model and scheme in one form. TRIAL has both.
  absl::Status AddRows(const TrialSpec& trial, const FormRecipes& form,
                       const std::vector<CalibrationData>& calibrations, const std::vector<uint64_t>& seeds) {
    std::vector<Recipe> rows;
    for (const Recipe& recipe : form.recipes) {
      if (Skipped(trial.model(), trial.scheme(), recipe)) continue;
      // Recipes that the form made the same are one row under both titles.
      const auto same = std::find_if(rows.begin(), rows.end(), [&](const Recipe& r) { return SameRecipe(r, recipe); });
      if (!form.equal || same == rows.end()) {
        rows.push_back(recipe);
        continue;
      }
      const auto title = [](const Recipe& r) { return r.has_title() ? r.title() : r.name(); };
      same->set_title(absl::StrCat(title(*same), " = ", title(recipe)));
    }
    TrialTag tag{form.name, -1, -1};
    for (const Recipe& recipe : rows) EAQ_RETURN_IF_ERROR(AddRow(trial, recipe, tag, calibrations, seeds));
    for (const int a : form.ablations) {
      tag.ablation = a;
      for (tag.arm = 0; tag.arm < static_cast<int>(out_.ablations[a].arms.size()); ++tag.arm) {
        const Recipe arm = out_.ablations[a].arms[tag.arm].recipe;
        if (Skipped(trial.model(), trial.scheme(), arm)) continue;
        EAQ_RETURN_IF_ERROR(AddRow(trial, arm, tag, calibrations, seeds));
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddRow(TrialSpec trial, const Recipe& recipe, const TrialTag& tag,
                      const std::vector<CalibrationData>& calibrations, const std::vector<uint64_t>& seeds) {
    *trial.mutable_recipe() = recipe;
    const auto push = [&] {
      out_.trials.push_back(trial);
      out_.tags.push_back(tag);
    };
    if (NeedsNoCalibration(recipe)) {
      push();
      return absl::OkStatus();
    }
    if (calibrations.empty()) {
      return spec_.Error({{"recipe", 0}}, absl::StrCat("recipe \"", recipe.name(),
                                                       "\" reads calibration data: add calibration { ... }"));
    }
    for (const CalibrationData& calibration : calibrations) {
      for (const uint64_t seed : seeds) {
        *trial.mutable_calibration() = calibration;
        trial.mutable_calibration()->set_seed(seed);
        push();
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckWhole() const {
    if (e_.model().empty()) return spec_.source.Error({}, "no model: add model { name: ... path: ... }");
    std::set<std::string> models;
    for (int i = 0; i < e_.model_size(); ++i) {
      if (e_.model(i).path().empty()) return spec_.Error({{"model", i}}, "the model has no path");
      const ModelRef& model = e_.model(i);  // with outliers injected it is another model
      if (!models.insert(absl::StrCat(model.path(), "\n", model.outliers().ShortDebugString())).second) {
        return spec_.Error({{"model", i}}, "this model is named twice");
      }
    }
    if (e_.recipe().empty() != e_.scheme().empty()) {
      return spec_.source.Error({}, e_.recipe().empty() ? "schemes but no recipe" : "recipes but no scheme");
    }
    EAQ_RETURN_IF_ERROR(CheckData("evaluation", -1, e_.evaluation()));
    const int top_k = e_.evaluation().top_k();
    if (top_k < 0 || top_k > 32) return spec_.Error({{"evaluation", -1}, {"top_k", -1}}, "top_k must be 0 to 32");
    EAQ_RETURN_IF_ERROR(CheckTasks());
    std::set<uint64_t> seeds;
    for (int i = 0; i < e_.seed_size(); ++i) {
      if (!seeds.insert(e_.seed(i)).second)
        return spec_.Error({{"seed", i}}, absl::StrCat("seed ", e_.seed(i), " stands here twice"));
    }
    if (e_.max_trials() < 1) return spec_.Error({{"max_trials", -1}}, "max_trials must be at least 1");
    const Experiment::Comparing& c = e_.comparison();
    if (c.margin() <= 0) return spec_.Error({{"comparison", -1}, {"margin", -1}}, "margin must be positive");
    if (c.alpha() <= 0 || c.alpha() >= 1)
      return spec_.Error({{"comparison", -1}, {"alpha", -1}}, "alpha must be between 0 and 1");
    if (c.draws() < 100 || c.draws() > 1000000) {
      return spec_.Error({{"comparison", -1}, {"draws", -1}}, "draws must be 100 to 1000000");
    }
    return absl::OkStatus();
  }

  template <typename Data>
  absl::Status CheckData(const std::string& what, int index, const Data& data) const {
    const auto error = [&](const std::string& field, int i, absl::string_view message) {
      return spec_.Error({{what, index}, {field, i}}, message);
    };
    if (data.domain().empty()) return error("domain", 0, absl::StrCat(what, " names no domain"));
    std::set<std::string> names;
    for (int i = 0; i < data.domain_size(); ++i) {
      if (data.domain(i).name().empty()) return error("domain", i, "the domain has no name");
      if (!names.insert(data.domain(i).name()).second)
        return error("domain", i, absl::StrCat("domain \"", data.domain(i).name(), "\" stands here twice"));
    }
    if (data.windows() < 1 || data.windows() > 1000000) return error("windows", -1, "windows must be 1 to 1000000");
    if (data.window() < 2 || data.window() > 1000000) return error("window", -1, "window must be 2 to 1000000 tokens");
    return absl::OkStatus();
  }

  using TaskError = absl::FunctionRef<absl::Status(const std::string&, absl::string_view)>;

  absl::Status CheckNextSegment(const EvaluationTask& task, TaskError error) const {
    const EvaluationTask::NextSegment& s = task.next_segment();
    if (!task.path().empty()) return error("path", "next_segment has no path: its items are made from the domains");
    if (s.items() < 1 || s.items() > 1000000) return error("next_segment", "items must be 1 to 1000000");
    if (s.context() < 1 || s.context() > 1000000) return error("next_segment", "context must be 1 to 1000000 tokens");
    if (s.segment() < 1 || s.segment() > 1000000) return error("next_segment", "segment must be 1 to 1000000 tokens");
    if (s.candidates() < 2 || s.candidates() > 100) return error("next_segment", "candidates must be 2 to 100");
    return absl::OkStatus();
  }

  absl::Status CheckTasks() const {
    std::set<std::string> names;  // of tasks and domains: metrics are filed under them
    for (const CorpusRef& domain : e_.evaluation().domain()) names.insert(domain.name());
    for (int i = 0; i < e_.evaluation().task_size(); ++i) {
      const EvaluationTask& task = e_.evaluation().task(i);
      const auto error = [&](const std::string& field, absl::string_view message) {
        return spec_.Error({{"evaluation", -1}, {"task", i}, {field, -1}}, message);
      };
      if (task.name().empty()) return error("name", "the task has no name");
      if (task.path().empty() && !task.has_next_segment()) {
        return error("path", absl::StrCat("task \"", task.name(), "\" has no path: name a file, folder or zip archive ",
                                          "of items (docs/formats/tasks.md)"));
      }
      if (!names.insert(task.name()).second) {
        return error("name", absl::StrCat("\"", task.name(), "\" is the name of another task or of a domain"));
      }
      if (task.max_items_per_paradigm() < 0) {
        return error("max_items_per_paradigm", "max_items_per_paradigm must be 0 (all) or more");
      }
      if (task.kind_case() != EvaluationTask::KIND_NOT_SET && task.has_protocol()) {
        return error("protocol", "protocol belongs to minimal pairs: the other kinds of task have one convention each");
      }
      if (task.multiple_choice().max_length() < 0) return error("multiple_choice", "max_length must be 0 or more");
      if (task.last_word().max_length() < 0) return error("last_word", "max_length must be 0 or more");
      if (task.has_next_segment()) EAQ_RETURN_IF_ERROR(CheckNextSegment(task, error));
    }
    return absl::OkStatus();
  }

  absl::Status CheckGrid(const std::string& field, int index, const Grid& grid) const {
    const int b = grid.bits();
    const bool binary = grid.kind() == Grid::BINARY;
    if (b != 16 && (binary ? b != 1 : b < 2 || b > 8)) {
      return spec_.Error({{"scheme", index}, {field, -1}, {"bits", -1}},
                         absl::StrCat("bits ", b, ": must be 2 to 8 (1 of kind BINARY), or 16 for none"));
    }
    if (grid.granularity() == Grid::GROUP && grid.group_size() < 1) {
      return spec_.Error({{"scheme", index}, {field, -1}}, "granularity GROUP needs group_size of at least 1");
    }
    if (grid.granularity() != Grid::GROUP && grid.group_size() != 0) {
      return spec_.Error({{"scheme", index}, {field, -1}, {"group_size", -1}}, "group_size needs granularity: GROUP");
    }
    return absl::OkStatus();
  }

  // The axes that the lists under TOP[INDEX] (PREFIX fields deeper) and `vary` make of a component.
  template <typename T>
  std::vector<Axis<T>> Axes(const std::string& top, int index, size_t prefix, const T& base, absl::Status& status) {
    std::vector<Axis<T>> axes;
    for (const SpecList& list : spec_.lists) {
      if (list.path[0].field->name() != top || list.path[0].index != index || list.path.size() <= prefix) continue;
      Axis<T> axis;
      axis.label = list.path.back().field->name();
      for (absl::string_view value : list.values) axis.values.emplace_back(value);
      const std::vector<PathStep> path(list.path.begin() + prefix, list.path.end());
      axis.apply = [path](T& m, const std::string& value) { return SetAt(m, path, value); };
      axes.push_back(std::move(axis));
    }
    for (int i = 0; i < e_.vary_size(); ++i) {
      const Experiment::Vary& vary = e_.vary(i);
      if (!absl::StartsWith(vary.field(), top + ".")) {
        if (!absl::StartsWith(vary.field(), "recipe.") && !absl::StartsWith(vary.field(), "scheme.") &&
            !absl::StartsWith(vary.field(), "calibration.")) {
          status.Update(
              spec_.Error({{"vary", i}, {"field", -1}}, "field must start with recipe., scheme. or calibration."));
        }
        continue;
      }
      if (vary.values().empty()) status.Update(spec_.Error({{"vary", i}}, "vary without values"));
      const auto path = ResolvePath(T::descriptor(), vary.field().substr(top.size() + 1));
      if (!path.ok()) {
        status.Update(spec_.Error({{"vary", i}, {"field", -1}}, path.status().message()));
        continue;
      }
      for (int v = 0; v < vary.values_size(); ++v) {  // each value once, to point at the one that is wrong
        T probe = base;
        const auto places = SetWhereItFits(probe, *path, vary.values(v));
        if (!places.ok()) status.Update(spec_.Error({{"vary", i}, {"values", v}}, places.status().message()));
      }
      if (!vary.only().empty() &&
          std::find(vary.only().begin(), vary.only().end(), NameOf(base)) == vary.only().end()) {
        continue;
      }
      T probe = base;
      const auto places = vary.values().empty() ? absl::StatusOr<int>(0) : SetWhereItFits(probe, *path, vary.values(0));
      if (!places.ok() || *places == 0) continue;
      varied_[i] = true;
      Axis<T> axis;
      axis.label = path->back()->name();
      axis.values.assign(vary.values().begin(), vary.values().end());
      axis.keeps_original = true;
      const auto fields = *path;
      axis.apply = [fields](T& m, const std::string& value) { return SetWhereItFits(m, fields, value).status(); };
      axes.push_back(std::move(axis));
    }
    return axes;
  }

  template <typename T>
  absl::Status Append(const std::string& top, int index, size_t prefix, const T& base, std::vector<T>& all) {
    absl::Status status;
    const std::vector<Axis<T>> axes = Axes(top, index, prefix, base, status);
    EAQ_RETURN_IF_ERROR(status);
    auto variants = Multiply(base, axes, e_.combine() == Experiment::ONE_AT_A_TIME);
    if (!variants.ok()) return spec_.Error({{top, index}}, variants.status().message());
    all.insert(all.end(), variants->begin(), variants->end());
    if (all.size() > kMaxVariants)
      return spec_.Error({{top, index}}, absl::StrCat("more than ", kMaxVariants, " variants"));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Scheme>> Schemes() {
    std::vector<Scheme> all;
    std::set<std::string> names;
    for (int i = 0; i < e_.scheme_size(); ++i) {
      if (e_.scheme(i).name().empty()) return spec_.Error({{"scheme", i}}, "the scheme has no name");
      if (!names.insert(e_.scheme(i).name()).second) {
        return spec_.Error({{"scheme", i}, {"name", -1}},
                           absl::StrCat("two schemes are called \"", e_.scheme(i).name(), "\""));
      }
      const size_t first = all.size();
      EAQ_RETURN_IF_ERROR(Append("scheme", i, 1, e_.scheme(i), all));
      for (size_t k = first; k < all.size(); ++k) {
        EAQ_RETURN_IF_ERROR(CheckGrid("weights", i, all[k].weights()));
        EAQ_RETURN_IF_ERROR(CheckGrid("activations", i, all[k].activations()));
      }
    }
    return all;
  }

  absl::StatusOr<std::vector<Recipe>> Recipes() {
    std::vector<Recipe> all;
    std::set<std::string> names;
    for (int i = 0; i < e_.recipe_size(); ++i) {
      const Experiment::RecipeEntry& entry = e_.recipe(i);
      Recipe recipe;
      if (entry.has_preset()) {
        absl::StatusOr<Recipe> preset = load_preset_(entry.preset());
        if (!preset.ok()) return spec_.Error({{"recipe", i}, {"preset", -1}}, preset.status().message());
        recipe = *std::move(preset);
        if (!recipe.has_name()) recipe.set_name(entry.preset());
      } else if (!entry.has_set()) {
        return spec_.Error({{"recipe", i}}, "an empty recipe: name a preset, or write set { ... }");
      }
      // Several values under `set` are applied to the merged recipe: indices of lists stay valid because these are
      // replaced whole.
      if (entry.set().has_name() && !entry.set().has_title()) recipe.clear_title();
      WriteOver(entry.set(), recipe);
      if (recipe.name().empty()) return spec_.Error({{"recipe", i}}, "the recipe has no name: set { name: ... }");
      if (!names.insert(recipe.name()).second) {
        return spec_.Error({{"recipe", i}}, absl::StrCat("two recipes are called \"", recipe.name(),
                                                         "\"; give one another set { name: ... }"));
      }
      const size_t first = all.size();
      EAQ_RETURN_IF_ERROR(Append("recipe", i, 2, recipe, all));
      for (size_t k = first; k < all.size(); ++k) {
        if (!entry.scheme().empty()) only_[all[k].name()] = {entry.scheme().begin(), entry.scheme().end()};
      }
    }
    const std::string& reference = e_.comparison().reference();
    if (!reference.empty()) {
      std::vector<std::string> known;
      for (const Recipe& recipe : all) known.push_back(recipe.name());
      if (std::find(known.begin(), known.end(), reference) == known.end()) {
        return spec_.Error({{"comparison", -1}, {"reference", -1}},
                           absl::StrCat("no recipe here is called \"", reference, "\"", Suggestion(reference, known)));
      }
    }
    return all;
  }

  absl::StatusOr<std::vector<CalibrationData>> Calibrations() {
    std::vector<CalibrationData> all;
    for (int i = 0; i < e_.calibration_size(); ++i) {
      if (e_.calibration(i).has_seed()) {
        return spec_.Error({{"calibration", i}, {"seed", -1}}, "seeds stand at the top: seed: [0, 1, 2]");
      }
      const size_t first = all.size();
      EAQ_RETURN_IF_ERROR(Append("calibration", i, 1, e_.calibration(i), all));
      for (size_t k = first; k < all.size(); ++k) EAQ_RETURN_IF_ERROR(CheckData("calibration", i, all[k]));
    }
    return all;
  }

  // The names that `recipe.scheme`, `skip` and `claim` use.
  absl::Status CheckNames(const std::vector<Scheme>& schemes, const std::vector<Recipe>& recipes) const {
    std::vector<std::string> s, r, m;
    for (const Scheme& scheme : schemes) s.push_back(scheme.name());
    for (const Recipe& recipe : recipes) r.push_back(recipe.name());
    for (const AblationPlan& plan : out_.ablations) {
      for (const AblationArm& arm : plan.arms) r.push_back(arm.recipe.name());
    }
    for (const ModelRef& model : e_.model()) m.push_back(model.name());
    std::vector<std::string> rows = r;  // of tables, where recipes have one for each calibration: "gptq [code]"
    for (int c = 0; c < e_.calibration_size() && e_.calibration_size() > 1; ++c) {
      std::vector<std::string> domains;
      for (const CorpusRef& domain : e_.calibration(c).domain()) domains.push_back(domain.name());
      for (const std::string& recipe : r) rows.push_back(absl::StrCat(recipe, " [", absl::StrJoin(domains, ", "), "]"));
    }
    const auto check = [&](const FieldPath& place, const std::string& name, const std::string& kind,
                           const std::vector<std::string>& known) -> absl::Status {
      if (std::find(known.begin(), known.end(), name) != known.end()) return absl::OkStatus();
      return spec_.Error(place, absl::StrCat("no ", kind, " is called \"", name, "\"", Suggestion(name, known)));
    };
    for (int i = 0; i < e_.recipe_size(); ++i) {
      for (int k = 0; k < e_.recipe(i).scheme_size(); ++k) {
        EAQ_RETURN_IF_ERROR(check({{"recipe", i}, {"scheme", k}}, e_.recipe(i).scheme(k), "scheme", s));
      }
    }
    for (int i = 0; i < e_.skip_size(); ++i) {
      const Experiment::Skip& skip = e_.skip(i);
      const auto at = [i](const char* field) { return FieldPath{{"skip", i}, {field, -1}}; };
      if (!skip.has_recipe() && !skip.has_scheme() && !skip.has_model())
        return spec_.Error({{"skip", i}}, "an empty skip would leave out everything");
      if (skip.has_recipe()) EAQ_RETURN_IF_ERROR(check(at("recipe"), skip.recipe(), "recipe", r));
      if (skip.has_scheme()) EAQ_RETURN_IF_ERROR(check(at("scheme"), skip.scheme(), "scheme", s));
      if (skip.has_model()) EAQ_RETURN_IF_ERROR(check(at("model"), skip.model(), "model", m));
    }
    for (int i = 0; i < e_.claim_size(); ++i) {
      const Experiment::Claim& claim = e_.claim(i);
      if (claim.text().empty()) return spec_.Error({{"claim", i}}, "the claim has no text: say it in a sentence");
      EAQ_RETURN_IF_ERROR(check({{"claim", i}, {"recipe", -1}}, claim.recipe(), "recipe", rows));
      EAQ_RETURN_IF_ERROR(check({{"claim", i}, {"over", -1}}, claim.over(), "recipe", rows));
      for (int k = 0; k < claim.scheme_size(); ++k) {
        EAQ_RETURN_IF_ERROR(check({{"claim", i}, {"scheme", k}}, claim.scheme(k), "scheme", s));
      }
    }
    return absl::OkStatus();
  }

  bool Skipped(const ModelRef& model, const Scheme& scheme, const Recipe& recipe) const {
    const auto only = only_.find(recipe.name());
    if (only != only_.end() && only->second.count(scheme.name()) == 0) return true;
    for (const Experiment::Skip& skip : e_.skip()) {
      if ((!skip.has_recipe() || skip.recipe() == recipe.name()) &&
          (!skip.has_scheme() || skip.scheme() == scheme.name()) &&
          (!skip.has_model() || skip.model() == model.name())) {
        return true;
      }
    }
    return false;
  }

  const LoadedSpec& spec_;
  const Experiment& e_;
  const PresetLoader& load_preset_;
  std::vector<bool> varied_;
  std::map<std::string, std::set<std::string>> only_;  // recipe -> its schemes, where its entry names some
  Expansion out_;
};

}  // namespace

bool NeedsNoCalibration(const Recipe& recipe) { return recipe.calibration().has_none(); }

absl::StatusOr<Recipe> LoadShippedPreset(const std::string& preset) {
  std::vector<std::string> known;
  if (const auto methods = FindInRepository("eaq/methods"); methods.ok()) {
    if (const auto names = ListDirectory(*methods); names.ok()) {
      for (const std::string& name : *names) {
        if (FileExists(JoinPath(JoinPath(*methods, name), "preset.textproto"))) known.push_back(name);
      }
    }
  }
  if (std::find(known.begin(), known.end(), preset) == known.end()) {
    return absl::NotFoundError(absl::StrCat("there is no preset \"", preset, "\"", Suggestion(preset, known)));
  }
  const std::string relative = absl::StrCat("eaq/methods/", preset, "/preset.textproto");
  EAQ_ASSIGN_OR_RETURN(const std::string path, FindInRepository(relative));
  EAQ_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  return ParseRecipe(relative, std::move(text));
}

absl::StatusOr<Expansion> Expand(const LoadedSpec& spec, const PresetLoader& load_preset) {
  return Expander(spec, load_preset).Run();
}

}  // namespace eaq

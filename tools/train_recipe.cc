#include "tools/train_recipe.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

class Collector : public google::protobuf::io::ErrorCollector {
 public:
  explicit Collector(const std::string& name) : name_(name) {}
  // LINE and COLUMN count from 0; a negative line: no place known.
  void AddError(int line, google::protobuf::io::ColumnNumber column, const std::string& message) override {
    absl::StrAppend(&text_, text_.empty() ? "" : "\n", name_);
    if (line >= 0) absl::StrAppend(&text_, ":", line + 1, ":", column + 1);
    absl::StrAppend(&text_, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  const std::string& name_;
  std::string text_;
};

absl::Status Check(const TrainRecipe& recipe) {
  const TrainRecipe::Model& m = recipe.model();
  const auto wrong = [](const auto&... what) { return absl::InvalidArgumentError(absl::StrCat(what...)); };
  if (recipe.domain_size() == 0) return wrong("expected at least one domain { corpus: ... }, found none");
  for (int i = 0; i < recipe.domain_size(); ++i) {
    const TrainRecipe::Domain& domain = recipe.domain(i);
    if (domain.corpus().empty()) return wrong("domain ", i, ": expected a name in `corpus`, found none");
    if (!(domain.weight() > 0) || !std::isfinite(domain.weight()))
      return wrong("domain ", domain.corpus(), ": expected a weight > 0, found ", domain.weight());
  }
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, int64_t>>{{"steps", recipe.steps()},
                                                              {"warmup", recipe.warmup()},
                                                              {"shards", recipe.shards()},
                                                              {"windows_per_step", recipe.windows_per_step()},
                                                              {"model.hidden", m.hidden()},
                                                              {"model.layers", m.layers()},
                                                              {"model.heads", m.heads()},
                                                              {"model.experts", m.experts()},
                                                              {"model.experts_per_token", m.experts_per_token()},
                                                              {"model.expert_width", m.expert_width()},
                                                              {"model.context", m.context()}}) {
    if (value < 1) return wrong(name, ": expected 1 or more, found ", value);
  }
  if (m.has_kv_heads() && (m.kv_heads() < 1 || m.heads() % m.kv_heads() != 0))
    return wrong("model.kv_heads: expected a divisor of model.heads (", m.heads(), "), found ", m.kv_heads());
  const bool deepseek = m.family() == TrainRecipe::Model::DEEPSEEK;
  if (deepseek != m.has_dense_width() || (deepseek && m.dense_width() < 1))
    return wrong("model.dense_width: expected 1 or more for DEEPSEEK and nothing for the other families");
  if (m.has_shared_experts() && (!deepseek || m.shared_experts() < 0))
    return wrong("model.shared_experts: expected 0 or more, and only for DEEPSEEK, found ", m.shared_experts());
  if (recipe.windows_per_step() % recipe.shards() != 0)
    return wrong("windows_per_step: expected a multiple of shards (", recipe.shards(), "), found ",
                 recipe.windows_per_step());
  if (m.hidden() % (2 * m.heads()) != 0)
    return wrong("model.hidden: expected a multiple of twice the heads (", m.heads(), "), found ", m.hidden());
  if (m.experts_per_token() > m.experts())
    return wrong("model.experts_per_token: expected at most model.experts (", m.experts(), "), found ",
                 m.experts_per_token());
  if (!(recipe.learning_rate() > 0) || !std::isfinite(recipe.learning_rate()))
    return wrong("learning_rate: expected a number > 0, found ", recipe.learning_rate());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainRecipe> ParseTrainRecipe(absl::string_view text, const std::string& name) {
  TrainRecipe recipe;
  Collector collector(name);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  if (!parser.ParseFromString(std::string(text), &recipe)) {
    return absl::InvalidArgumentError(
        absl::StrCat(collector.text(), "\n  the fields of a TrainRecipe stand in eaq/train/train.proto"));
  }
  EAQ_RETURN_IF_ERROR(Annotate(Check(recipe), name));
  return recipe;
}

absl::StatusOr<TrainRecipe> LoadTrainRecipe(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseTrainRecipe(text, path);
}

absl::StatusOr<Corpus> LoadDomain(const TrainRecipe::Domain& domain) {
  return LoadCorpus(domain.corpus(), domain.path().empty() ? "" : ResolveUserPath(domain.path()));
}

int64_t TokensPerStep(const TrainRecipe& recipe) { return recipe.windows_per_step() * recipe.model().context(); }

}  // namespace eaq

#include "eaq/eval/choice_task.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "eaq/base/status_macros.h"
#include "eaq/eval/continuation.h"

namespace eaq {
namespace {

// What stands between a context and a candidate: target_delimiter of lm-evaluation-harness.
constexpr char kDelimiter[] = " ";

// How the texts of a kind of task become one string: context, then delimiter and candidate.
struct Template {
  std::string drop_front, context_end;
  absl::string_view delimiter;
  ContinuationRules rules;
};

Template TemplateOf(const EvaluationTask& spec, const ModelConfig& config) {
  Template t;
  t.delimiter = kDelimiter;
  t.rules.prefix_token = spec.prefix_token();
  if (spec.has_multiple_choice()) {
    const EvaluationTask::MultipleChoice& options = spec.multiple_choice();
    t.drop_front = options.drop_front();
    t.context_end = options.context_end();
    t.rules.bos = options.bos();
    t.rules.max_length = options.max_length();
  } else if (spec.has_last_word()) {
    t.rules.bos = spec.last_word().bos();
    t.rules.max_length = spec.last_word().max_length();
  } else {
    t.delimiter = spec.protocol() == EvaluationTask::LM_EVAL ? kDelimiter : "";
    return t;  // sentences are never cut
  }
  if (t.rules.max_length == 0) t.rules.max_length = config.max_position_embeddings;
  return t;
}

absl::StatusOr<ChoiceTask::Choice> MakeChoice(const Item::Choice& from, const Template& how,
                                              const Tokenizer& tokenizer) {
  absl::string_view context = from.context;
  absl::ConsumePrefix(&context, how.drop_front);
  EAQ_ASSIGN_OR_RETURN(Continuation tokens, EncodeContinuation(tokenizer, absl::StrCat(context, how.context_end),
                                                               absl::StrCat(how.delimiter, from.text), how.rules));
  ChoiceTask::Choice choice;
  choice.ids = std::move(tokens.ids);
  choice.first = tokens.first;
  choice.characters = std::max<int64_t>(1, CharactersOf(from.text));  // text that is not UTF-8 may have none
  choice.bytes = static_cast<int64_t>(from.text.size());
  return choice;
}

void SetBaselines(const std::vector<const Item*>& items, ChoiceTask& task) {
  if (task.kind == EvaluationTask::kLastWord) return;
  std::map<absl::string_view, int64_t> right;  // text -> items in which it is right
  int64_t most = 0;
  for (const Item* item : items) {
    task.chance += 1.0 / static_cast<double>(item->choices.size());
    most = std::max(most, ++right[item->choices[item->gold].text]);
  }
  task.chance /= static_cast<double>(items.size());
  if (task.kind == EvaluationTask::kMultipleChoice) {
    task.constant = static_cast<double>(most) / static_cast<double>(items.size());
  }
}

}  // namespace

int64_t CharactersOf(absl::string_view text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

std::string WhereOf(const ChoiceTask& task, int64_t item, int64_t choice) {
  size_t p = 0;
  while (p + 1 < task.paradigms.size() && item >= task.paradigms[p].items) item -= task.paradigms[p++].items;
  const std::string where = absl::StrCat("task ", task.name, ", ", task.paradigms[p].id, ", item ", item);
  if (task.kind != EvaluationTask::KIND_NOT_SET) return absl::StrCat(where, ", choice ", choice);
  return absl::StrCat(where, ", the ", choice == 0 ? "good" : "bad", " sentence");
}

absl::Status CheckIds(const ChoiceTask& task, int64_t vocab_size) {
  for (size_t i = 0; i < task.items.size(); ++i) {
    for (size_t c = 0; c < task.items[i].choices.size(); ++c) {
      for (const int32_t id : task.items[i].choices[c].ids) {
        if (id >= 0 && id < vocab_size) continue;
        return absl::FailedPreconditionError(absl::StrCat(WhereOf(task, i, c), ": token id ", id,
                                                          " is outside of the model's vocabulary of ", vocab_size,
                                                          "; does tokenizer.json belong to this model?"));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ChoiceTask> MakeChoiceTask(const ItemSet& items, const EvaluationTask& spec, const Tokenizer& tokenizer,
                                          const ModelConfig& config, ThreadPool& pool) {
  ChoiceTask task;
  task.name = spec.name();
  task.kind = spec.kind_case();
  task.protocol = spec.protocol();
  const Template how = TemplateOf(spec, config);
  std::vector<const Item*> from;
  for (const Paradigm& paradigm : items.paradigms) {
    int64_t n = paradigm.items.size();
    if (spec.max_items_per_paradigm() > 0) n = std::min<int64_t>(n, spec.max_items_per_paradigm());
    task.paradigms.push_back({paradigm.id, paradigm.phenomenon, n});
    for (int64_t i = 0; i < n; ++i) {
      from.push_back(&paradigm.items[i]);
      ChoiceTask::Item& item = task.items.emplace_back();
      item.gold = paradigm.items[i].gold;
      item.choices.resize(paradigm.items[i].choices.size());
      // Sentences of one paradigm come from one template: together they are one witness.
      item.document = task.kind == EvaluationTask::KIND_NOT_SET ? paradigm.id : absl::StrCat(paradigm.id, "/", i);
    }
  }
  // That there is a prefix token does not depend on the item.
  if (task.kind == EvaluationTask::KIND_NOT_SET) {
    const auto prefix = PrefixToken(tokenizer, spec.prefix_token());
    EAQ_RETURN_IF_ERROR(Annotate(prefix.status(), absl::StrCat("task ", spec.name())));
  }
  std::vector<absl::Status> status(from.size());
  pool.ParallelFor(from.size(), [&](int64_t i) {
    for (size_t c = 0; c < from[i]->choices.size() && status[i].ok(); ++c) {
      absl::StatusOr<ChoiceTask::Choice> choice = MakeChoice(from[i]->choices[c], how, tokenizer);
      if (!choice.ok()) {
        status[i] = Annotate(choice.status(), WhereOf(task, i, c));
      } else {
        task.items[i].choices[c] = *std::move(choice);
      }
    }
  });
  for (const absl::Status& s : status) EAQ_RETURN_IF_ERROR(s);
  EAQ_RETURN_IF_ERROR(CheckIds(task, config.vocab_size));
  SetBaselines(from, task);
  return task;
}

}  // namespace eaq

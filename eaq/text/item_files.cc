#include "eaq/text/item_files.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/bzip2.h"
#include "eaq/text/json_fields.h"
#include "eaq/text/zip.h"

namespace eaq {
namespace {

constexpr int kEndings = 4;  // of an item in a text file

bool IsItemFile(absl::string_view name) {
  const absl::string_view base = name.substr(name.rfind('/') == absl::string_view::npos ? 0 : name.rfind('/') + 1);
  return absl::EndsWith(base, ".jsonl") && !absl::StartsWith(base, ".") && !absl::StartsWith(name, "__MACOSX/");
}

absl::StatusOr<std::vector<ZipEntry>> ReadArchive(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  absl::StatusOr<std::vector<ZipEntry>> entries = ReadZip(bytes, IsItemFile);
  EAQ_RETURN_IF_ERROR(Annotate(entries.status(), path));
  for (ZipEntry& entry : *entries) entry.name = absl::StrCat(path, "/", entry.name);
  return entries;
}

absl::StatusOr<std::vector<ZipEntry>> ReadFolder(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(path));
  std::vector<ZipEntry> files;
  std::vector<std::string> archives;
  for (const std::string& name : names) {
    if (absl::EndsWith(name, ".zip")) archives.push_back(name);
    if (!IsItemFile(name)) continue;
    const std::string file = JoinPath(path, name);
    EAQ_ASSIGN_OR_RETURN(std::string bytes, ReadFile(file));
    files.push_back({file, std::move(bytes)});
  }
  if (files.empty() && archives.size() == 1) return ReadArchive(JoinPath(path, archives[0]));
  return files;
}

absl::StatusOr<std::vector<ZipEntry>> ReadFiles(const std::string& path) {
  if (!FileExists(path)) return absl::NotFoundError(absl::StrCat(path, ": no such file or folder of items"));
  if (IsDirectory(path)) return ReadFolder(path);
  if (absl::EndsWith(path, ".zip")) return ReadArchive(path);
  EAQ_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  if (absl::EndsWith(path, ".bz2")) {
    absl::StatusOr<std::string> inner = Bunzip2(bytes);
    EAQ_RETURN_IF_ERROR(Annotate(inner.status(), path));
    bytes = *std::move(inner);
  }
  return std::vector<ZipEntry>{{path, std::move(bytes)}};
}

absl::Status Expected(const std::string& where, absl::string_view field, absl::string_view expected,
                      absl::string_view found) {
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": field \"", field, "\": expected ", expected, ", found ", found));
}

// The string field KEY of LINE, which must not be empty.
absl::StatusOr<std::string> TextField(const Json& line, absl::string_view key, const std::string& where) {
  EAQ_ASSIGN_OR_RETURN(std::string text, StringField(line, key, where));
  if (text.empty()) return Expected(where, key, "a text", "\"\"");
  return text;
}

// An array of two texts or more.
absl::StatusOr<std::vector<std::string>> TextsField(const Json& line, absl::string_view key, const std::string& where) {
  EAQ_ASSIGN_OR_RETURN(const Json* array, ArrayField(line, key, where));
  if (array->size() < 2) return Expected(where, key, "2 texts or more", absl::StrCat(array->size()));
  std::vector<std::string> texts;
  for (const Json& text : *array) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty()) {
      return Expected(where, key, "texts", text.dump());
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

absl::Status CheckGold(int64_t gold, size_t choices, const std::string& where) {
  if (gold >= 0 && gold < static_cast<int64_t>(choices)) return absl::OkStatus();
  return Expected(where, "gold", absl::StrCat("the index of one of ", choices, " choices"), absl::StrCat(gold));
}

absl::StatusOr<Item> ParseChoice(const Json& line, const std::string& where) {
  Item item;
  if (line.is_object() && line.contains("context_options")) {
    EAQ_ASSIGN_OR_RETURN(std::vector<std::string> contexts, TextsField(line, "context_options", where));
    EAQ_ASSIGN_OR_RETURN(const std::string continuation, TextField(line, "continuation", where));
    for (std::string& context : contexts) item.choices.push_back({std::move(context), continuation});
  } else {
    EAQ_ASSIGN_OR_RETURN(const std::string query, TextField(line, "query", where));
    EAQ_ASSIGN_OR_RETURN(std::vector<std::string> choices, TextsField(line, "choices", where));
    for (std::string& choice : choices) item.choices.push_back({query, std::move(choice)});
  }
  EAQ_ASSIGN_OR_RETURN(const int64_t gold, IntField(line, "gold", where));
  EAQ_RETURN_IF_ERROR(CheckGold(gold, item.choices.size(), where));
  item.gold = static_cast<int>(gold);
  return item;
}

absl::StatusOr<Item> ParseLastWord(const Json& line, const std::string& where) {
  EAQ_ASSIGN_OR_RETURN(std::string context, TextField(line, "context", where));
  EAQ_ASSIGN_OR_RETURN(std::string word, TextField(line, "continuation", where));
  return Item{{{std::move(context), std::move(word)}}, 0};
}

// A line of minimal pairs; the first one names PARADIGM, the others must agree.
absl::StatusOr<Item> ParsePair(const Json& line, const std::string& where, Paradigm& paradigm) {
  EAQ_ASSIGN_OR_RETURN(std::string good, TextField(line, "sentence_good", where));
  EAQ_ASSIGN_OR_RETURN(std::string bad, TextField(line, "sentence_bad", where));
  EAQ_ASSIGN_OR_RETURN(const std::string id, TextField(line, "UID", where));
  EAQ_ASSIGN_OR_RETURN(const std::string term, TextField(line, "linguistics_term", where));
  if (paradigm.items.empty()) {
    paradigm.id = id;
    paradigm.phenomenon = term;
  }
  if (id != paradigm.id || term != paradigm.phenomenon) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": UID \"", id, "\", linguistics_term \"", term,
                                                   "\"; expected \"", paradigm.id, "\" and \"", paradigm.phenomenon,
                                                   "\" as on the lines before: a file holds one paradigm"));
  }
  return Item{{{"", std::move(good)}, {"", std::move(bad)}}, 0};
}

absl::Status ParseJsonLines(const ZipEntry& file, EvaluationTask::KindCase kind, Paradigm& paradigm) {
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(file.bytes, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    const std::string where = absl::StrCat(file.name, ":", number);
    const absl::StatusOr<Json> json = ParseJson(line);
    EAQ_RETURN_IF_ERROR(Annotate(json.status(), where));
    EAQ_ASSIGN_OR_RETURN(Item item, kind == EvaluationTask::kMultipleChoice ? ParseChoice(*json, where)
                                    : kind == EvaluationTask::kLastWord     ? ParseLastWord(*json, where)
                                                                            : ParsePair(*json, where, paradigm));
    paradigm.items.push_back(std::move(item));
  }
  if (paradigm.phenomenon == "s-selection") paradigm.phenomenon = "argument_structure";
  return absl::OkStatus();
}

// HellaSwag as github.com/klosax/hellaswag_text_data and llama.cpp have it.
absl::Status ParseTextLines(const ZipEntry& file, Paradigm& paradigm) {
  std::vector<absl::string_view> lines = absl::StrSplit(file.bytes, '\n');
  for (absl::string_view& line : lines) absl::ConsumeSuffix(&line, "\r");
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (size_t begin = 0; begin < lines.size(); begin += 2 + kEndings) {
    const auto where = [&](size_t line) { return absl::StrCat(file.name, ":", line + 1); };
    for (size_t i = begin; i < begin + 2 + kEndings; ++i) {
      if (i < lines.size() && !lines[i].empty()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(where(i), ": ", i < lines.size() ? "an empty line" : "the file ends", " inside of an item; ",
                       "expected six lines each: context, index of the right ending, ", kEndings, " endings"));
    }
    Item item;
    if (!absl::SimpleAtoi(lines[begin + 1], &item.gold)) {
      return Expected(where(begin + 1), "gold", "an index", lines[begin + 1]);
    }
    EAQ_RETURN_IF_ERROR(CheckGold(item.gold, kEndings, where(begin + 1)));
    for (int e = 0; e < kEndings; ++e) {
      item.choices.push_back({std::string(lines[begin]), std::string(lines[begin + 2 + e])});
    }
    paradigm.items.push_back(std::move(item));
  }
  return absl::OkStatus();
}

absl::StatusOr<Paradigm> ParseParadigm(const ZipEntry& file, EvaluationTask::KindCase kind) {
  Paradigm paradigm;
  absl::string_view name = file.name;
  name = name.substr(name.rfind('/') == absl::string_view::npos ? 0 : name.rfind('/') + 1);
  absl::ConsumeSuffix(&name, ".bz2");
  if (kind == EvaluationTask::kMultipleChoice && absl::EndsWith(name, ".txt")) {
    EAQ_RETURN_IF_ERROR(ParseTextLines(file, paradigm));
  } else {
    EAQ_RETURN_IF_ERROR(ParseJsonLines(file, kind, paradigm));
  }
  if (paradigm.items.empty()) return absl::InvalidArgumentError(absl::StrCat(file.name, ": no items in it"));
  if (paradigm.id.empty()) paradigm.id = std::string(name.substr(0, name.rfind('.')));
  return paradigm;
}

// The identity of the items. Minimal pairs have the form they had before there were other kinds.
std::string Hash(const ItemSet& set, EvaluationTask::KindCase kind) {
  const bool pairs = kind == EvaluationTask::KIND_NOT_SET;
  Fingerprint print(pairs ? "text/pairs/v1" : "text/items/v1");
  for (const Paradigm& paradigm : set.paradigms) {
    print.Add(paradigm.id);
    if (pairs) print.Add(paradigm.phenomenon);
    print.Add(static_cast<int64_t>(paradigm.items.size()));
    for (const Item& item : paradigm.items) {
      if (!pairs) print.Add(item.gold).Add(static_cast<int64_t>(item.choices.size()));
      for (const Item::Choice& choice : item.choices) {
        if (!pairs) print.Add(choice.context);
        print.Add(choice.text);
      }
    }
  }
  return print.Hex();
}

}  // namespace

absl::StatusOr<ItemSet> LoadItems(const EvaluationTask& task) {
  const std::string who = absl::StrCat("task ", task.name());
  ItemSet set;
  set.name = task.name();
  set.source = task.path();
  absl::StatusOr<std::vector<ZipEntry>> files = ReadFiles(task.path());
  EAQ_RETURN_IF_ERROR(Annotate(files.status(), who));
  if (files->empty()) {
    return absl::NotFoundError(
        absl::StrCat(who, ": ", task.path(), " holds no items; expected files *.jsonl, or one archive *.zip with such ",
                     "files (BLiMP: github.com/alexwarstadt/blimp, BLiMP.zip); docs/formats/tasks.md"));
  }
  for (const ZipEntry& file : *files) {
    absl::StatusOr<Paradigm> paradigm = ParseParadigm(file, task.kind_case());
    EAQ_RETURN_IF_ERROR(Annotate(paradigm.status(), who));
    set.paradigms.push_back(*std::move(paradigm));
  }
  std::sort(set.paradigms.begin(), set.paradigms.end(),
            [](const Paradigm& a, const Paradigm& b) { return a.id < b.id; });
  for (size_t i = 1; i < set.paradigms.size(); ++i) {
    if (set.paradigms[i].id != set.paradigms[i - 1].id) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(who, ": ", task.path(), ": two files hold the paradigm \"", set.paradigms[i].id, "\""));
  }
  set.sha256 = Hash(set, task.kind_case());
  return set;
}

}  // namespace eaq

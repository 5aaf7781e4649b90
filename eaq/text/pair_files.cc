#include "eaq/text/pair_files.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/json_fields.h"
#include "eaq/text/zip.h"

namespace eaq {
namespace {

bool IsPairFile(absl::string_view name) {
  const absl::string_view base = name.substr(name.rfind('/') == absl::string_view::npos ? 0 : name.rfind('/') + 1);
  return absl::EndsWith(base, ".jsonl") && !absl::StartsWith(base, ".") && !absl::StartsWith(name, "__MACOSX/");
}

absl::StatusOr<std::vector<ZipEntry>> ReadArchive(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  absl::StatusOr<std::vector<ZipEntry>> entries = ReadZip(bytes, IsPairFile);
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
    if (!IsPairFile(name)) continue;
    const std::string file = JoinPath(path, name);
    EAQ_ASSIGN_OR_RETURN(std::string bytes, ReadFile(file));
    files.push_back({file, std::move(bytes)});
  }
  if (files.empty() && archives.size() == 1) return ReadArchive(JoinPath(path, archives[0]));
  return files;
}

absl::StatusOr<std::vector<ZipEntry>> ReadFiles(const std::string& path) {
  if (!FileExists(path)) return absl::NotFoundError(absl::StrCat(path, ": no such file or folder of minimal pairs"));
  if (IsDirectory(path)) return ReadFolder(path);
  if (absl::EndsWith(path, ".zip")) return ReadArchive(path);
  EAQ_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
  return std::vector<ZipEntry>{{path, std::move(bytes)}};
}

// The string field KEY of LINE, which must not be empty.
absl::StatusOr<std::string> TextField(const Json& line, absl::string_view key, const std::string& where) {
  EAQ_ASSIGN_OR_RETURN(std::string text, StringField(line, key, where));
  if (text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": field \"", key, "\": expected a text, found \"\""));
  }
  return text;
}

absl::StatusOr<Paradigm> ParseParadigm(const ZipEntry& file) {
  Paradigm paradigm;
  std::string term;
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(file.bytes, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    const std::string where = absl::StrCat(file.name, ":", number);
    const absl::StatusOr<Json> json = ParseJson(line);
    EAQ_RETURN_IF_ERROR(Annotate(json.status(), where));
    SentencePair pair;
    EAQ_ASSIGN_OR_RETURN(pair.good, TextField(*json, "sentence_good", where));
    EAQ_ASSIGN_OR_RETURN(pair.bad, TextField(*json, "sentence_bad", where));
    EAQ_ASSIGN_OR_RETURN(const std::string id, TextField(*json, "UID", where));
    EAQ_ASSIGN_OR_RETURN(const std::string own_term, TextField(*json, "linguistics_term", where));
    if (paradigm.pairs.empty()) {
      paradigm.id = id;
      term = own_term;
    }
    if (id != paradigm.id || own_term != term) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": UID \"", id, "\", linguistics_term \"", own_term,
                                                     "\"; expected \"", paradigm.id, "\" and \"", term,
                                                     "\" as on the lines before: a file holds one paradigm"));
    }
    paradigm.pairs.push_back(std::move(pair));
  }
  if (paradigm.pairs.empty()) return absl::InvalidArgumentError(absl::StrCat(file.name, ": no pairs in it"));
  paradigm.phenomenon = term == "s-selection" ? "argument_structure" : term;
  return paradigm;
}

}  // namespace

absl::StatusOr<PairSet> LoadPairSet(absl::string_view name, const std::string& path) {
  PairSet set;
  set.name = std::string(name);
  set.source = path;
  absl::StatusOr<std::vector<ZipEntry>> files = ReadFiles(path);
  EAQ_RETURN_IF_ERROR(Annotate(files.status(), absl::StrCat("task ", name)));
  if (files->empty()) {
    return absl::NotFoundError(absl::StrCat("task ", name, ": ", path,
                                            " holds no minimal pairs; expected files *.jsonl, or one archive *.zip "
                                            "with such files (BLiMP: github.com/alexwarstadt/blimp, BLiMP.zip)"));
  }
  for (const ZipEntry& file : *files) {
    absl::StatusOr<Paradigm> paradigm = ParseParadigm(file);
    EAQ_RETURN_IF_ERROR(Annotate(paradigm.status(), absl::StrCat("task ", name)));
    set.paradigms.push_back(*std::move(paradigm));
  }
  std::sort(set.paradigms.begin(), set.paradigms.end(),
            [](const Paradigm& a, const Paradigm& b) { return a.id < b.id; });
  Fingerprint print("text/pairs/v1");
  for (size_t i = 0; i < set.paradigms.size(); ++i) {
    const Paradigm& paradigm = set.paradigms[i];
    if (i > 0 && paradigm.id == set.paradigms[i - 1].id) {
      return absl::InvalidArgumentError(
          absl::StrCat("task ", name, ": ", path, ": two files hold the paradigm \"", paradigm.id, "\""));
    }
    print.Add(paradigm.id).Add(paradigm.phenomenon).Add(static_cast<int64_t>(paradigm.pairs.size()));
    for (const SentencePair& pair : paradigm.pairs) print.Add(pair.good).Add(pair.bad);
  }
  set.sha256 = print.Hex();
  return set;
}

}  // namespace eaq

// Files that the user names: plain text, JSON lines, WikiText.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/corpus_sources.h"
#include "eaq/text/gzip.h"

namespace eaq {
namespace {

// `= Title =` but not `= = Section = =`: the first line of an article of WikiText.
bool IsArticleTitle(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  return line.size() >= 5 && absl::StartsWith(line, "= ") && absl::EndsWith(line, " =") &&
         !absl::StartsWith(line, "= =") && !absl::EndsWith(line, "= =");
}

// Articles part where a title stands between empty lines (or at the beginning of the file).
std::vector<Document> SplitWikiText(absl::string_view id, absl::string_view text) {
  std::vector<Document> documents;
  int article = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (IsArticleTitle(line) || documents.empty()) {
      if (absl::StripAsciiWhitespace(line).empty()) continue;
      documents.push_back(
          {absl::StrCat(id, "#", ++article, " ", absl::StripAsciiWhitespace(line).substr(0, 80)), "", {}});
    }
    absl::StrAppend(&documents.back().text, line, "\n");
  }
  for (Document& document : documents) {
    while (absl::EndsWith(document.text, "\n\n")) document.text.pop_back();
  }
  return documents;
}

// One object per line; the text is the string field "text", else "content", else "sentence". "id" (string or number)
// is the identity, else the line's number.
absl::StatusOr<std::vector<Document>> SplitJsonLines(absl::string_view id, absl::string_view text) {
  std::vector<Document> documents;
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    const absl::StatusOr<Json> json = ParseJson(line);
    EAQ_RETURN_IF_ERROR(Annotate(json.status(), absl::StrCat("line ", number)));
    const Json* field = nullptr;
    for (const char* key : {"text", "content", "sentence"}) {
      if (field != nullptr || !json->is_object()) break;
      const auto found = json->find(key);
      if (found != json->end() && found->is_string()) field = &*found;
    }
    if (field == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "line ", number, ": expected an object with a string in the field \"text\" (or \"content\", \"sentence\")"));
    }
    std::string key = absl::StrCat("line ", number);
    const auto name = json->find("id");
    if (name != json->end()) key = name->is_string() ? name->get<std::string>() : name->dump();
    documents.push_back({absl::StrCat(id, "#", key), field->get<std::string>(), {}});
  }
  return documents;
}

absl::Status ReadOne(const std::string& path, absl::string_view id, std::vector<Document>& out) {
  EAQ_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  absl::string_view kind = path;
  if (absl::ConsumeSuffix(&kind, ".gz")) {
    absl::StatusOr<std::string> inner = Gunzip(text);
    EAQ_RETURN_IF_ERROR(Annotate(inner.status(), path));
    text = *std::move(inner);
  }
  std::vector<Document> documents;
  const absl::string_view bare = absl::StripLeadingAsciiWhitespace(text);
  if (absl::EndsWith(kind, ".jsonl") || absl::EndsWith(kind, ".ndjson")) {
    absl::StatusOr<std::vector<Document>> lines = SplitJsonLines(id, text);
    EAQ_RETURN_IF_ERROR(Annotate(lines.status(), path));
    documents = *std::move(lines);
  } else if (absl::EndsWith(kind, ".raw") || absl::EndsWith(kind, ".tokens") ||
             IsArticleTitle(bare.substr(0, bare.find('\n')))) {
    documents = SplitWikiText(id, text);
  } else if (!text.empty()) {
    documents.push_back({std::string(id), std::move(text), {}});
  }
  for (Document& document : documents) out.push_back(std::move(document));
  return absl::OkStatus();
}

absl::Status ReadFolder(const std::string& path, const std::string& id, int depth, std::vector<Document>& out) {
  if (depth > 32) return absl::InvalidArgumentError(absl::StrCat(path, ": folders nested more than 32 deep"));
  EAQ_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(path));
  for (const std::string& name : names) {
    if (name[0] == '.') continue;
    const std::string below = JoinPath(path, name);
    const std::string below_id = id.empty() ? name : absl::StrCat(id, "/", name);
    if (IsDirectory(below)) {
      EAQ_RETURN_IF_ERROR(ReadFolder(below, below_id, depth + 1, out));
    } else {
      EAQ_RETURN_IF_ERROR(ReadOne(below, below_id, out));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Document>> ReadUserFiles(const std::string& path) {
  if (!FileExists(path)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder of text"));
  }
  std::vector<Document> documents;
  if (IsDirectory(path)) {
    EAQ_RETURN_IF_ERROR(ReadFolder(path, "", 0, documents));
  } else {
    EAQ_RETURN_IF_ERROR(ReadOne(path, Basename(path), documents));
  }
  return documents;
}

}  // namespace eaq

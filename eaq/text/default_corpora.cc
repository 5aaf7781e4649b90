// How each default corpus is read from the files of its package. The table of names stands in corpus.cc.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/corpus_sources.h"
#include "eaq/text/gzip.h"
#include "eaq/text/text_cleaning.h"

namespace eaq {
namespace {

// A part of a large source, the same on every machine: about `keep` of all pieces, chosen by their identity.
bool IsKept(absl::string_view corpus, absl::string_view id, double keep) {
  const uint64_t hash = Fingerprint("text/sample/v1").Add(corpus).Add(id).Low64();
  return static_cast<double>(hash >> 11) * 0x1p-53 < keep;
}

absl::Status FilesMissing(const InstalledPackage& package, absl::string_view path) {
  return absl::NotFoundError(
      absl::StrCat("the package ", package.name, " is installed but ", path,
                   " is not there; images that leave documentation out say so by `path-exclude` lines in "
                   "/etc/dpkg/dpkg.cfg.d: remove them, then: sudo apt-get install --reinstall ",
                   package.name));
}

// Chapters of the Bible: the package's own program unpacks its data file ("Ge1:1 In the beginning ...").
absl::StatusOr<std::vector<Document>> ReadBible(const InstalledPackage& package) {
  constexpr char kProgram[] = "/usr/bin/bible";
  if (!FileExists(kProgram)) return FilesMissing(package, kProgram);
  std::FILE* pipe = popen("exec /usr/bin/bible -f Genesis1:1-Revelation22:21 </dev/null 2>&1", "r");
  if (pipe == nullptr) return absl::UnavailableError(absl::StrCat("cannot start ", kProgram));
  std::string text;
  std::string buffer(1 << 16, '\0');
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer, 0, got);
  if (pclose(pipe) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(kProgram, " failed; it said: ", text.substr(0, 200),
                                                      "; is the package bible-kjv-text installed?"));
  }
  std::vector<Document> documents;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const size_t space = line.find(' ');
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos || space == absl::string_view::npos || colon > space) continue;
    const absl::string_view chapter = line.substr(0, colon);
    if (documents.empty() || documents.back().id != chapter) documents.push_back({std::string(chapter), "", {}});
    absl::StrAppend(&documents.back().text, absl::StripAsciiWhitespace(line.substr(space)), "\n");
  }
  return documents;
}

// A dictd database. `start` headwords that begin with 00 hold the database's own description.
absl::StatusOr<std::vector<Document>> ReadDictionary(const InstalledPackage& package, absl::string_view corpus,
                                                     const std::string& path, double keep) {
  if (!FileExists(path)) return FilesMissing(package, path);
  EAQ_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  absl::StatusOr<std::string> text = Gunzip(file->bytes());
  EAQ_RETURN_IF_ERROR(Annotate(text.status(), path));
  // Pieces of about 16 KB of source, cut where a headword begins; a piece is a document.
  constexpr size_t kPiece = 16 << 10;
  std::vector<Document> documents;
  size_t begin = 0;
  // The description ends before the first headword that is not "00...": the databases say so in their last lines.
  const absl::string_view all = *text;
  while (begin < all.size()) {
    size_t end = std::min(all.size(), begin + kPiece);
    while (end < all.size()) {
      end = all.find("\n\n", end);
      if (end == absl::string_view::npos) end = all.size();
      end = std::min(all.size(), end + 2);
      if (end >= all.size() || (all[end] != ' ' && all[end] != '\n' && all[end] != '\t')) break;
    }
    const absl::string_view piece = all.substr(begin, end - begin);
    const absl::string_view word = piece.substr(0, std::min<size_t>(piece.find('\n'), 60));
    const std::string id = absl::StrCat(word, " @", begin);
    begin = end;
    if (absl::StrContains(piece, "00-database") || !IsKept(corpus, id, keep)) continue;
    Document document{id, "", {}};
    for (const std::string& entry : CleanDictEntries(piece)) absl::StrAppend(&document.text, entry, "\n");
    document.text = NormalizeSpace(document.text);
    documents.push_back(std::move(document));
  }
  return documents;
}

// Every file of the package that KEEPS accepts, cleaned.
template <typename Keeps, typename Cleans>
absl::StatusOr<std::vector<Document>> ReadPackageFiles(const InstalledPackage& package, absl::string_view prefix,
                                                       Keeps keeps, Cleans cleans) {
  EAQ_ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListPackageFiles(package));
  std::vector<Document> documents;
  for (const std::string& path : paths) {
    absl::string_view id = path;
    if (!absl::ConsumePrefix(&id, prefix) || !keeps(id)) continue;
    if (!FileExists(path)) return FilesMissing(package, path);
    absl::StatusOr<std::string> text = ReadFile(path);
    if (text.ok() && absl::EndsWith(path, ".gz")) text = Gunzip(*text);
    EAQ_RETURN_IF_ERROR(Annotate(text.status(), path));
    std::string clean = cleans(*text);
    if (clean.size() < 600) continue;  // a stub, a list of links
    documents.push_back({std::string(id), std::move(clean), {}});
  }
  if (documents.empty()) return FilesMissing(package, prefix);
  return documents;
}

bool IsManualPage(absl::string_view id) {
  return absl::EndsWith(id, ".rst.txt") && absl::StrContains(id, '/') && !absl::StartsWith(id, "whatsnew/changelog") &&
         !absl::StartsWith(id, "includes/");
}

bool IsSourceFile(absl::string_view id) {
  return absl::EndsWith(id, ".py") && !absl::StartsWith(id, "encodings/") && !absl::StartsWith(id, "pydoc_data/") &&
         id != "html/entities.py";
}

}  // namespace

absl::StatusOr<std::vector<Document>> ReadDefaultCorpus(absl::string_view name, const InstalledPackage& package) {
  if (name == "scripture") return ReadBible(package);
  if (name == "dictionary") return ReadDictionary(package, name, "/usr/share/dictd/gcide.dict.dz", 0.2);
  if (name == "computing") return ReadDictionary(package, name, "/usr/share/dictd/foldoc.dict.dz", 1.0);
  if (name == "manual") {
    return ReadPackageFiles(package, "/usr/share/doc/python3.11/html/_sources/", IsManualPage, CleanRst);
  }
  if (name == "code") {
    EAQ_ASSIGN_OR_RETURN(std::vector<Document> documents,
                         ReadPackageFiles(package, "/usr/lib/python3.11/", IsSourceFile, CleanCode));
    EAQ_ASSIGN_OR_RETURN(const InstalledPackage minimal, FindInstalledPackage("libpython3.11-minimal"));
    EAQ_ASSIGN_OR_RETURN(std::vector<Document> more,
                         ReadPackageFiles(minimal, "/usr/lib/python3.11/", IsSourceFile, CleanCode));
    for (Document& document : more) documents.push_back(std::move(document));
    return documents;
  }
  if (name == "french") {
    return ReadPackageFiles(
        package, "/usr/share/man/fr/", [](absl::string_view id) { return absl::EndsWith(id, ".gz"); }, CleanMan);
  }
  return absl::InternalError(absl::StrCat("no reader for the default corpus ", name));
}

}  // namespace eaq

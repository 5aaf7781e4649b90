#include "eaq/text/corpus.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/corpus_sources.h"
#include "eaq/text/dpkg.h"

namespace eaq {

absl::string_view SplitName(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kCalibration:
      return "calibration";
    case Split::kEvaluation:
      return "evaluation";
  }
  return "unknown";
}

const std::vector<CorpusInfo>& DefaultCorpora() {
  static const auto* const corpora = new std::vector<CorpusInfo>{
      {"scripture", "King James Bible, a chapter per document", "en", "bible-kjv", {6, 10}},
      {"dictionary", "Collaborative International Dictionary of English", "en", "dict-gcide", {5, 8}},
      {"computing", "Free On-line Dictionary of Computing", "en", "dict-foldoc", {7, 10}},
      {"manual", "Python 3.11 documentation", "en", "python3.11-doc", {6, 10}},
      {"code", "Python 3.11 standard library, source code", "x-python", "libpython3.11-stdlib", {7, 10}},
      {"french", "French manual pages", "fr", "manpages-fr", {10, 12}},
  };
  return *corpora;
}

Split SplitOf(absl::string_view name, absl::string_view id, SplitPercent percent) {
  const uint64_t hash = Fingerprint("text/split/v1").Add(name).Add(id).Low64();
  const double u = static_cast<double>(hash >> 11) * 0x1p-53 * 100.0;  // [0, 100)
  if (u < percent.evaluation) return Split::kEvaluation;
  if (u < percent.evaluation + percent.calibration) return Split::kCalibration;
  return Split::kTrain;
}

namespace {

absl::Status Finish(Corpus& corpus, SplitPercent percent) {
  Fingerprint fingerprint("text/corpus/v1");
  absl::flat_hash_set<std::string> ids;
  bool any = false;
  for (Document& document : corpus.documents) {
    if (!ids.insert(document.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("corpus ", corpus.name, ": two documents are called \"", document.id, "\"; ids must be unique"));
    }
    document.split = SplitOf(corpus.name, document.id, percent);
    fingerprint.Add(document.id).Add(document.text);
    any = any || !document.text.empty();
  }
  if (!any) return absl::InvalidArgumentError(absl::StrCat("corpus ", corpus.name, ": no text in it"));
  corpus.sha256 = fingerprint.Hex();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Corpus> LoadCorpus(absl::string_view name, absl::string_view path) {
  Corpus corpus;
  corpus.name = std::string(name);
  if (!path.empty()) {
    corpus.title = std::string(path);
    EAQ_ASSIGN_OR_RETURN(corpus.documents, ReadUserFiles(std::string(path)));
    EAQ_RETURN_IF_ERROR(Finish(corpus, SplitPercent{}));
    return corpus;
  }
  std::string known;
  for (const CorpusInfo& info : DefaultCorpora()) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", info.name);
    if (info.name != name) continue;
    corpus.title = info.title;
    corpus.language = info.language;
    corpus.package = info.package;
    absl::StatusOr<InstalledPackage> package = FindInstalledPackage(info.package);
    EAQ_RETURN_IF_ERROR(Annotate(package.status(), absl::StrCat("corpus ", name)));
    corpus.version = package->version;
    absl::StatusOr<std::vector<Document>> documents = ReadDefaultCorpus(name, *package);
    EAQ_RETURN_IF_ERROR(Annotate(documents.status(), absl::StrCat("corpus ", name)));
    corpus.documents = *std::move(documents);
    EAQ_RETURN_IF_ERROR(Finish(corpus, info.percent));
    return corpus;
  }
  return absl::NotFoundError(absl::StrCat("there is no default corpus called \"", name, "\"; known: ", known,
                                          "; to read text of your own, give its path as well"));
}

}  // namespace eaq

// `eaq corpus`: the texts, as training, calibration and evaluation see them.
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/corpus.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace eaq {
namespace {

absl::Status List() {
  std::cout << absl::StrFormat("%-11s %-9s %10s %10s %10s %10s  %-22s %-18s %s\n", "name", "language", "documents",
                               "train KB", "calib. KB", "eval. KB", "package", "version", "sha256");
  for (const CorpusInfo& info : DefaultCorpora()) {
    EAQ_ASSIGN_OR_RETURN(const Corpus corpus, LoadCorpus(info.name, ""));
    int64_t bytes[3] = {0, 0, 0};
    for (const Document& d : corpus.documents) bytes[static_cast<int>(d.split)] += d.text.size();
    std::cout << absl::StrFormat("%-11s %-9s %10d %10d %10d %10d  %-22s %-18s %s\n", corpus.name, corpus.language,
                                 corpus.documents.size(), bytes[0] / 1000, bytes[1] / 1000, bytes[2] / 1000,
                                 corpus.package, corpus.version, corpus.sha256.substr(0, 12));
  }
  return absl::OkStatus();
}

absl::Status Print(const std::string& name, const std::string& path, const std::string& split, int64_t limit,
                   bool titles) {
  EAQ_ASSIGN_OR_RETURN(const Corpus corpus, LoadCorpus(name, path));
  bool known = split == "all";
  for (const Split s : {Split::kTrain, Split::kCalibration, Split::kEvaluation}) known |= SplitName(s) == split;
  if (!known) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--split=%s: expected train, calibration, evaluation or all", split));
  }
  for (const Document& d : corpus.documents) {
    if (split != "all" && SplitName(d.split) != split) continue;
    if (titles) std::cout << absl::StrFormat("---- %s/%s\n", corpus.name, d.id);
    std::cout << d.text;
    limit -= static_cast<int64_t>(d.text.size());
    if (limit <= 0) break;
  }
  return absl::OkStatus();
}

}  // namespace

int CorpusMain(int argc, char** argv) {
  std::string name, path, split = "all";
  int64_t bytes = int64_t{1} << 40;
  bool titles = false;
  Flags flags("corpus", "Without flags: lists the default corpora. With --name: prints one, cleaned, as models see it.",
              "eaq corpus --name=code --split=evaluation --bytes=1000000");
  flags.Add("name", &name, "a default corpus, or the name of your own text (it decides the split of its documents)");
  flags.Add("path", &path, "your own file or folder: plain text, JSON lines, WikiText");
  flags.Add("split", &split, "train, calibration, evaluation or all");
  flags.Add("bytes", &bytes, "stop after the document that passes this size");
  flags.Add("titles", &titles, "a line with the identity of each document before it");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (name.empty() && !path.empty()) {
    return ReportError("corpus", absl::InvalidArgumentError("--path needs a --name for the text"), true);
  }
  const absl::Status status =
      name.empty() ? List() : Print(name, path.empty() ? "" : ResolveUserPath(path), split, bytes, titles);
  return status.ok() ? 0 : ReportError("corpus", status);
}

}  // namespace eaq

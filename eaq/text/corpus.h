// Text with provenance: named corpora of documents, each document in one split.
//
//   EAQ_ASSIGN_OR_RETURN(const Corpus corpus, LoadCorpus("computing", ""));          // a default one
//   EAQ_ASSIGN_OR_RETURN(const Corpus mine, LoadCorpus("novels", "/home/me/books"));  // a file or folder
//   for (const Document& document : corpus.documents)
//     if (document.split == Split::kTrain) ...
//
// The default corpora come from Debian packages (nothing is shipped with the project). A file or folder of the user's
// own is read as plain text (one document per file), JSON lines (*.jsonl: one document per line), or WikiText
// (*.raw, *.tokens, or a first line `= Title =`: one document per article). docs/formats/corpora.md has the details.
//
// A document's split depends on the corpus's name and the document's identity alone, never on its position: adding
// or removing other documents moves nothing.
#ifndef EAQ_TEXT_CORPUS_H_
#define EAQ_TEXT_CORPUS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

enum class Split { kTrain, kCalibration, kEvaluation };
absl::string_view SplitName(Split split);  // "train", "calibration", "evaluation"

struct Document {
  std::string id;    // unique in its corpus: "library/bisect", "Ge 1"
  std::string text;  // cleaned; ends with a newline unless empty
  Split split = Split::kTrain;
};

// Per cent of a corpus's documents that go to calibration and to evaluation; the rest is for training.
struct SplitPercent {
  int calibration = 5;
  int evaluation = 10;
};

// What is known of a default corpus before it is read.
struct CorpusInfo {
  std::string name;      // "computing": how specs and flags call it
  std::string title;     // one line for people
  std::string language;  // BCP 47: "en", "fr"; "x-python" for source code
  std::string package;   // the Debian package that holds it
  SplitPercent percent;
};

struct Corpus {
  std::string name;
  std::string title;
  std::string language;
  std::string package;  // empty for a file of the user's
  std::string version;  // the package's; empty for a file
  std::string sha256;   // over the ids and texts of all documents, in order
  std::vector<Document> documents;
};

// The default corpora in the order in which tables show them.
const std::vector<CorpusInfo>& DefaultCorpora();

// The corpus called `name`: read from `path` (file or folder) when it is given, else the default one of that name.
// NotFound: no such corpus (lists the known names), package not installed (the apt-get line), no such file.
// InvalidArgument: an unreadable document, with file and line; a corpus without text.
absl::StatusOr<Corpus> LoadCorpus(absl::string_view name, absl::string_view path);

// The split of the document ID of the corpus NAME: u = hash(NAME, ID) in [0, 100); evaluation below
// percent.evaluation, calibration below the sum of both, training above.
Split SplitOf(absl::string_view name, absl::string_view id, SplitPercent percent);

}  // namespace eaq

#endif  // EAQ_TEXT_CORPUS_H_

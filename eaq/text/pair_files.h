// Minimal pairs of sentences from files: BLiMP, or pairs of the user's in the same form. docs/formats/minimal_pairs.md
//
//   EAQ_ASSIGN_OR_RETURN(const PairSet pairs, LoadPairSet("blimp", "/data/BLiMP.zip"));
//   for (const Paradigm& paradigm : pairs.paradigms) ... paradigm.pairs[0].good, .bad
//
// One file of JSON lines is one paradigm; a line is an object with the strings sentence_good, sentence_bad, UID (the
// paradigm, the same on all lines) and linguistics_term (the phenomenon, likewise). Other fields are not read.
#ifndef EAQ_TEXT_PAIR_FILES_H_
#define EAQ_TEXT_PAIR_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

struct SentencePair {
  std::string good, bad;
};

struct Paradigm {
  std::string id;          // UID
  std::string phenomenon;  // linguistics_term; "s-selection" counts as "argument_structure", as in the paper's table
  std::vector<SentencePair> pairs;  // in the file's order
};

struct PairSet {
  std::string name;
  std::string source;               // the file or folder that was read
  std::string sha256;               // over ids, phenomena and sentences, wherever they lay
  std::vector<Paradigm> paradigms;  // sorted by id
};

// PATH: a file *.jsonl, a folder with such files, a *.zip archive with such files, or a folder without such files but
// with one archive. Names that begin with '.' and the folder __MACOSX are left out. NotFound: no such file, or no
// *.jsonl in it. InvalidArgument with file and line: not JSON, a field missing, empty or of another type, another UID
// or linguistics_term than the lines before; a paradigm in two files; a file without pairs.
absl::StatusOr<PairSet> LoadPairSet(absl::string_view name, const std::string& path);

}  // namespace eaq

#endif  // EAQ_TEXT_PAIR_FILES_H_

// The items of evaluation tasks from files: minimal pairs (BLiMP), multiple choice and last words
// (lm-evaluation-harness), or the user's own in the same forms. docs/formats/tasks.md
//
//   EvaluationTask task;  // name, path, kind
//   EAQ_ASSIGN_OR_RETURN(const ItemSet items, LoadItems(task));
//   for (const Paradigm& paradigm : items.paradigms) ... paradigm.items[0].choices[paradigm.items[0].gold].text
//
// One file is one paradigm. JSON lines, one object an item, fields by kind:
//   minimal pairs    sentence_good, sentence_bad, UID (the paradigm, the same on all lines), linguistics_term (the
//                    phenomenon, likewise)
//   multiple choice  query, choices (array of 2 or more), gold (index from 0); or context_options (array of 2 or more),
//                    continuation, gold
//   last word        context, continuation
// Texts must not be empty; other fields are not read. Multiple choice also as lines of text (*.txt): six an item,
// context, gold, four endings.
#ifndef EAQ_TEXT_ITEM_FILES_H_
#define EAQ_TEXT_ITEM_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/proto/trial.pb.h"

namespace eaq {

struct Item {
  struct Choice {
    std::string context;  // empty: the text stands alone
    std::string text;
  };
  std::vector<Choice> choices;  // minimal pairs: the good sentence, the bad one; last word: one
  int gold = 0;                 // index into `choices`
};

struct Paradigm {
  std::string id;           // UID of minimal pairs; else the file's name without folder and ending
  std::string phenomenon;   // linguistics_term; "s-selection" counts as "argument_structure", as in the paper's table
  std::vector<Item> items;  // in the file's order
};

struct ItemSet {
  std::string name;
  std::string source;               // the file or folder that was read
  std::string sha256;               // over ids of paradigms and all that was read of items, wherever it lay
  std::vector<Paradigm> paradigms;  // sorted by id
};

// TASK: name, path and kind (not next_segment, which has no files). The path is a file, a folder with files *.jsonl, a
// *.zip archive of such files, or a folder without such files but with one archive; a file may be packed (*.bz2). Names
// that begin with '.' and the folder __MACOSX are left out. NotFound: no such file, or no *.jsonl in it.
// InvalidArgument with file and line: not JSON, a field missing, empty or of another type, a gold index of no choice,
// another UID or linguistics_term than the lines before, a text file that ends inside of an item; a paradigm in two
// files; a file without items.
absl::StatusOr<ItemSet> LoadItems(const EvaluationTask& task);

}  // namespace eaq

#endif  // EAQ_TEXT_ITEM_FILES_H_

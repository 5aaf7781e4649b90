// "A list where a scalar is expected expands": finds such lists in the text of a spec before protobuf parses it.
//
//   FindLists(text, Experiment::descriptor())   ->  [{path of the field, the values and where they stand}]
//   KeepOne(text, lists, 1)                     ->  the text with each list replaced by its value number 1
//
// The text keeps its length: what is taken out becomes blanks, so every value stays where it stood and protobuf's
// positions are right. The scanner follows message types where it knows them and never fails: what it does not
// understand it leaves for protobuf to complain about.
#ifndef EXPERIMENTS_SPEC_LISTS_H_
#define EXPERIMENTS_SPEC_LISTS_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq {

// One step from a message to a field of it. INDEX: which element of a repeated field, -1 for a singular one.
struct PathStep {
  const google::protobuf::FieldDescriptor* field = nullptr;
  int index = -1;
};

struct SpecList {
  std::vector<PathStep> path;             // from the root to the singular field
  size_t begin = 0, end = 0;              // of "[ ... ]" in the text
  std::vector<absl::string_view> values;  // into the text, without blanks around
};

// TEXT must outlive the result. Nesting deeper than 100 is not followed.
std::vector<SpecList> FindLists(absl::string_view text, const google::protobuf::Descriptor* root);

// Lists shorter than which+1 show their first value; an empty list stays as it is.
std::string KeepOne(absl::string_view text, const std::vector<SpecList>& lists, size_t which);

}  // namespace eaq

#endif  // EXPERIMENTS_SPEC_LISTS_H_

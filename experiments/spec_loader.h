// Reads an experiment's text. Every error points: file:line:column, the line, a caret, a suggestion for a wrong name.
//
//   EAQ_ASSIGN_OR_RETURN(std::shared_ptr<const LoadedSpec> spec, LoadSpec("default.textproto", text));
//   spec->Error({"recipe", 0, "preset"}, "there is no such preset")
#ifndef EXPERIMENTS_SPEC_LOADER_H_
#define EXPERIMENTS_SPEC_LOADER_H_

#include <google/protobuf/text_format.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/proto/recipe.pb.h"
#include "experiments/experiment.pb.h"
#include "experiments/spec_lists.h"
#include "experiments/spec_source.h"

namespace eaq {

struct LoadedSpec {
  SpecSource source;
  Experiment experiment;  // each list in place of a scalar shows its first value
  std::vector<SpecList> lists;
  google::protobuf::TextFormat::ParseInfoTree places;

  // Where PATH, or the longest part of it that is written, stands.
  SpecPosition Locate(const std::vector<PathStep>& path) const;
  // The path of names from Experiment: {{"recipe", 0}, {"preset", -1}}.
  SpecPosition Locate(const std::vector<std::pair<std::string, int>>& path) const;
  absl::Status Error(const std::vector<std::pair<std::string, int>>& path, absl::string_view message) const;
};

// NAME: how messages call the text. InvalidArgument: encoding, syntax, names, values (not a number, out of range).
absl::StatusOr<std::shared_ptr<const LoadedSpec>> LoadSpec(const std::string& name, std::string text);

// A Recipe in text form, with the same errors.
absl::StatusOr<Recipe> ParseRecipe(const std::string& name, std::string text);

}  // namespace eaq

#endif  // EXPERIMENTS_SPEC_LOADER_H_

// The flags of one subcommand: --name=value or --name value, --name for booleans (and --noname), --help.
//
//   std::string model;
//   Flags flags("perplexity", "Scores a text with a model.", "eaq perplexity --model=models/ref-s --text=notes.txt");
//   flags.Add("model", &model, "folder of the model");
//   if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
//
// --help prints and gives exit code 0. An unknown flag or a bad value prints one message, with the nearest known name,
// and gives exit code 2.
#ifndef TOOLS_FLAGS_H_
#define TOOLS_FLAGS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq {

class Flags {
 public:
  Flags(std::string command, std::string summary, std::string example);

  // TARGET's present value is the default that --help shows.
  void Add(const std::string& name, std::string* target, const std::string& help);
  void Add(const std::string& name, int64_t* target, const std::string& help);
  void Add(const std::string& name, double* target, const std::string& help);
  void Add(const std::string& name, bool* target, const std::string& help);

  // argv[0] is the subcommand. nullopt: go on. A value: the program's exit code.
  std::optional<int> Parse(int argc, char** argv);
  std::string Help() const;

 private:
  struct Flag {
    std::string name, help, fallback;
    bool is_bool;
    std::function<bool(const std::string&)> set;
  };
  const Flag* Find(absl::string_view name) const;
  int Fail(const std::string& message) const;

  std::string command_, summary_, example_;
  std::vector<Flag> flags_;
};

// The name in KNOWN nearest to NAME by edit distance, when it is near enough to be meant (at most 2 edits, or 3 for
// long names); "" otherwise.
std::string NearestName(absl::string_view name, const std::vector<std::string>& known);

}  // namespace eaq

#endif  // TOOLS_FLAGS_H_

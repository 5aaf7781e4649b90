// The project's program for single models: `eaq COMMAND --flags`.
#include <iostream>
#include <string>
#include <vector>

#include "tools/commands.h"
#include "tools/flags.h"

namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*main)(int, char**);
};

constexpr Command kCommands[] = {
    {"bench", "speed, as shares of what this machine can do", eaq::BenchMain},
    {"card", "the model card of a reference model", eaq::CardMain},
    {"corpus", "the texts, as models see them", eaq::CorpusMain},
    {"generate", "a model continues a text", eaq::GenerateMain},
    {"inspect", "what a checkpoint is made of", eaq::InspectMain},
    {"perplexity", "a model scores a text", eaq::PerplexityMain},
    {"tokenize", "text to token ids and back", eaq::TokenizeMain},
    {"train", "a reference model, from the default corpora", eaq::TrainMain},
};

void PrintHelp(std::ostream& out) {
  out << "eaq: single models, by hand (experiments are //experiments:sweep)\n\n";
  for (const Command& command : kCommands)
    out << "  eaq " << command.name << std::string(12 - std::string(command.name).size(), ' ') << command.summary
        << "\n";
  out << "\n`eaq COMMAND --help` lists the flags of a command.\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name.empty() || name == "--help" || name == "-h" || name == "help") {
    PrintHelp(name.empty() ? std::cerr : std::cout);
    return name.empty() ? 2 : 0;
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    if (name == command.name) return command.main(argc - 1, argv + 1);
    names.push_back(command.name);
  }
  const std::string near = eaq::NearestName(name, names);
  std::cerr << "eaq: unknown command \"" << name << "\"" << (near.empty() ? "" : "; did you mean " + near + "?")
            << "\n  `eaq --help` lists the commands\n";
  return 2;
}

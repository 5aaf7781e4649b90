// The subcommands of //tools:eaq. Each takes the arguments from its own name on (argv[0] is the name) and returns the
// exit code: 0 done, 1 the work failed (one message on stderr), 2 wrong usage (flags, a spec that is not valid).
#ifndef TOOLS_COMMANDS_H_
#define TOOLS_COMMANDS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace eaq {

int BenchMain(int argc, char** argv);
int CardMain(int argc, char** argv);
int CorpusMain(int argc, char** argv);
int GenerateMain(int argc, char** argv);
int InspectMain(int argc, char** argv);
int PerplexityMain(int argc, char** argv);
int TokenizeMain(int argc, char** argv);
int TrainMain(int argc, char** argv);

// Prints "eaq COMMAND: message" to stderr and returns 1; 2 for a missing or contradictory flag (InvalidArgument with
// USAGE true).
int ReportError(absl::string_view command, const absl::Status& status, bool usage = false);

}  // namespace eaq

#endif  // TOOLS_COMMANDS_H_

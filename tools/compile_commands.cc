// Writes compile_commands.json for editors and clang-tidy:
//
//   ./bazelw run //tools:compile_commands
//
// Asks bazel (aquery) for every C++ compilation of the tree, without building anything, and writes one entry per
// source file to the root of the repository. Generated headers are found through bazel's link bazel-out, once built.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

// The standard output of a shell command.
absl::StatusOr<std::string> Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return absl::UnavailableError(absl::StrCat("cannot start: ", command));
  std::string text;
  char buffer[1 << 16];
  size_t n;
  while ((n = fread(buffer, 1, sizeof(buffer), pipe)) > 0) text.append(buffer, n);
  const int state = pclose(pipe);
  if (state != 0) return absl::UnavailableError(absl::StrCat("ended with ", state, ": ", command));
  return text;
}

// What gcc takes and clang's tools refuse, and what bazel adds for reproducible bytes.
bool OnlyForGcc(const std::string& argument) {
  return argument == "-fno-canonical-system-headers" || argument == "-Wno-free-nonheap-object" ||
         absl::StartsWith(argument, "-D__DATE__") || absl::StartsWith(argument, "-D__TIME") ||
         argument == "-Wno-builtin-macro-redefined" || argument == "-Wunused-but-set-parameter";
}

// AQUERY is bazel's jsonproto of CppCompile actions; FOLDER is where their relative paths count from.
absl::StatusOr<Json> CompileCommands(absl::string_view aquery, const std::string& folder) {
  EAQ_ASSIGN_OR_RETURN(const Json graph, ParseJson(aquery));
  if (!graph.is_object() || !graph.contains("actions")) {
    return absl::InvalidArgumentError("bazel aquery gave no \"actions\"");
  }
  std::map<std::string, Json> by_source;  // a file that several targets compile is listed once
  for (const Json& action : graph["actions"]) {
    if (!action.contains("arguments")) continue;
    std::vector<std::string> arguments = action["arguments"].get<std::vector<std::string>>();
    arguments.erase(std::remove_if(arguments.begin(), arguments.end(), OnlyForGcc), arguments.end());
    std::string source;
    for (size_t i = 0; i + 1 < arguments.size(); ++i) {
      if (arguments[i] == "-c") source = arguments[i + 1];
    }
    if (source.empty() || absl::StartsWith(source, "external/")) continue;
    by_source.emplace(source, Json{{"directory", folder}, {"file", source}, {"arguments", arguments}});
  }
  Json commands = Json::array();
  for (auto& [source, command] : by_source) commands.push_back(std::move(command));
  return commands;
}

absl::Status Run() {
  EAQ_ASSIGN_OR_RETURN(const std::string marker, FindInRepository("WORKSPACE"));
  const std::string root = Dirname(marker);
  const char* bazel = std::getenv("EAQ_BAZEL");
  const std::string call = absl::StrCat("cd '", root, "' && ", bazel == nullptr ? "bazel" : bazel, " ");
  EAQ_ASSIGN_OR_RETURN(
      const std::string aquery,
      Output(call +
             "aquery --output=jsonproto --include_artifacts=false 'mnemonic(\"CppCompile\", //...)' 2>/dev/null"));
  EAQ_ASSIGN_OR_RETURN(const Json commands, CompileCommands(aquery, root));
  const std::string path = JoinPath(root, "compile_commands.json");
  EAQ_RETURN_IF_ERROR(WriteFileAtomic(path, commands.dump(1) + "\n"));
  printf("%s: %zu files\n", path.c_str(), commands.size());
  return absl::OkStatus();
}

}  // namespace
}  // namespace eaq

int main() {
  const absl::Status status = eaq::Run();
  if (status.ok()) return 0;
  fprintf(stderr, "compile_commands: %s\n", std::string(status.message()).c_str());
  return 1;
}

#include "eaq/ledger/provenance.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/thread_pool.h"

namespace eaq {
namespace {

// 'text' for the shell, whatever it holds.
std::string ShellQuoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// One spawn: the first line is the commit, the rest names what differs from it.
void AskGit(const std::string& workspace, Provenance& provenance) {
  const std::string git = absl::StrCat("git --no-optional-locks -C ", ShellQuoted(workspace));
  const std::string command = absl::StrCat(git, " rev-parse HEAD 2>/dev/null && ", git,
                                           " status --porcelain --untracked-files=no 2>/dev/null && echo end");
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return;
  std::string output;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  const int exit_status = pclose(pipe);
  const std::vector<absl::string_view> lines = absl::StrSplit(output, '\n', absl::SkipEmpty());
  if (lines.empty() || lines[0].size() != 40) return;
  provenance.commit = std::string(lines[0]);
  if (exit_status == 0 && lines.back() == "end") provenance.dirty = lines.size() > 2 ? "dirty" : "clean";
}

std::string CpuModel() {
  const absl::StatusOr<std::string> info = ReadFile("/proc/cpuinfo");
  if (!info.ok()) return "unknown";
  for (absl::string_view line : absl::StrSplit(*info, '\n')) {
    if (!absl::StartsWith(line, "model name")) continue;
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    return std::string(absl::StripAsciiWhitespace(parts.second));
  }
  return "unknown";
}

std::string Compiler() {
#if defined(__clang__)
  return absl::StrCat("clang ", __clang_major__, ".", __clang_minor__, ".", __clang_patchlevel__);
#elif defined(__GNUC__)
  return absl::StrCat("gcc ", __GNUC__, ".", __GNUC_MINOR__, ".", __GNUC_PATCHLEVEL__);
#else
  return "unknown";
#endif
}

std::string Workspace(const std::string& asked) {
  if (!asked.empty()) return asked;
  if (const char* root = std::getenv("BUILD_WORKSPACE_DIRECTORY")) return root;
  return ".";
}

}  // namespace

std::string OwnBinaryHash() {
  static const std::string* const hash = [] {
    const auto image = MappedFile::Open("/proc/self/exe");
    return new std::string(image.ok() ? Sha256Hex((*image)->bytes()) : std::string());
  }();
  return *hash;
}

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "unknown";
  return name;
}

std::string BootId() {
  const absl::StatusOr<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id");
  return id.ok() ? std::string(absl::StripAsciiWhitespace(*id)) : std::string();
}

// "PID (name) S 1 2 ...": the name may hold anything, so count from the last parenthesis; field 22 is the 20th
// after it.
int64_t ProcessStart(int64_t pid) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return 0;
  const size_t end = stat->rfind(')');
  if (end == std::string::npos) return 0;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*stat).substr(end + 1), ' ', absl::SkipEmpty());
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return 0;
  int64_t start = 0;
  return absl::SimpleAtoi(fields[19], &start) ? start : 0;
}

const Provenance& CollectProvenance(const std::string& workspace) {
  static const Provenance* const collected = [&] {
    auto* p = new Provenance;
    AskGit(Workspace(workspace), *p);
    p->binary_hash = OwnBinaryHash();
    p->host = HostName();
    p->boot_id = BootId();
    p->cpu = CpuModel();
    p->cores = AvailableProcessors();
    utsname kernel;
    if (uname(&kernel) == 0) p->kernel = absl::StrCat(kernel.sysname, " ", kernel.release, " ", kernel.machine);
    p->compiler = Compiler();
    return p;
  }();
  return *collected;
}

}  // namespace eaq

// What nvcc made of the kernels: registers, shared memory, stack, tensor-core and copy instructions of every kernel,
// and its innermost loops.
//
//   sass_mix FILE.cubin|FOLDER ...            the table ("MMAs loop": not innermost, but the innermost with MMAs)
//   sass_mix --histogram FILE.cubin ...       and every opcode with its count
//   sass_mix --ceilings FOLDER                the lines of tools/sass/ceilings.txt
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "tools/sass/ceilings.h"
#include "tools/sass/find_cubins.h"
#include "tools/sass/mix.h"

namespace eaq::sass {
namespace {

int CountOf(const Histogram& histogram, std::initializer_list<const char*> names) {
  int count = 0;
  for (const char* name : names) {
    const auto found = histogram.find(name);
    if (found != histogram.end()) count += found->second;
  }
  return count;
}

// "IMMA 16, LDSM 8, ...", most frequent first.
std::string Line(const Histogram& histogram, size_t most) {
  std::vector<std::pair<int, std::string>> sorted;
  for (const auto& [name, count] : histogram) sorted.emplace_back(-count, name);
  std::sort(sorted.begin(), sorted.end());
  std::string text;
  for (size_t i = 0; i < std::min(most, sorted.size()); ++i) {
    text += absl::StrFormat("%s%s %d", i == 0 ? "" : ", ", sorted[i].second, -sorted[i].first);
  }
  return text;
}

void PrintKernel(const Found& found, const Kernel& kernel, bool histogram) {
  const Mix mix = Analyse(kernel, found.cubin.architecture);
  const Histogram& all = mix.histogram;
  absl::PrintF("sm_%-4d %4d %7d %6d %6d %5d %5d %5d %5d %5d %6d  %s: %s\n", found.cubin.architecture, kernel.registers,
               kernel.shared_bytes, kernel.frame_bytes, mix.slots, mix.mmas, CountOf(all, {"LDSM"}),
               CountOf(all, {"LDGSTS"}), CountOf(all, {"LDG"}), mix.local, mix.calls, found.library, kernel.name);
  for (const Loop& loop : mix.loops) {
    const std::string per_mma = loop.mmas == 0 ? "" : absl::StrFormat(", %.2f slots per MMA", loop.SlotsPerMma());
    absl::PrintF("     %s %04x..%04x: %d slots%s: %s\n", loop.innermost ? "     loop" : "MMAs loop", loop.first * 16,
                 loop.last * 16, loop.slots, per_mma, Line(loop.histogram, 10));
  }
  if (histogram) absl::PrintF("          all: %s\n", Line(all, all.size()));
}

int Run(const std::vector<std::string>& arguments) {
  bool ceilings = false, histogram = false;
  std::vector<Found> all;
  for (const std::string& argument : arguments) {
    if (argument == "--ceilings") {
      ceilings = true;
    } else if (argument == "--histogram") {
      histogram = true;
    } else {
      const absl::StatusOr<std::vector<Found>> found = FindCubins(ResolveUserPath(argument));
      if (!found.ok()) {
        absl::FPrintF(stderr, "sass_mix: %s\n", found.status().message());
        return 1;
      }
      all.insert(all.end(), found->begin(), found->end());
    }
  }
  if (all.empty()) {
    absl::FPrintF(stderr, "usage: sass_mix [--histogram] [--ceilings] FILE.cubin|FOLDER ...: no cubin found\n");
    return 2;
  }
  if (ceilings) {
    Ceilings costs;
    for (const Found& found : all) AddCosts(found.library, found.cubin, costs);
    absl::PrintF("%s", Print(costs));
    return 0;
  }
  absl::PrintF("arch    regs  shared  stack  slots  MMAs  LDSM LDGST   LDG LD/STL  CALL  library: kernel\n");
  for (const Found& found : all) {
    for (const Kernel& kernel : found.cubin.kernels) PrintKernel(found, kernel, histogram);
  }
  return 0;
}

}  // namespace
}  // namespace eaq::sass

int main(int argc, char** argv) { return eaq::sass::Run(std::vector<std::string>(argv + 1, argv + argc)); }

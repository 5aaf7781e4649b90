#include "tools/sass/ceilings.h"

#include <algorithm>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tools/sass/mix.h"

namespace eaq::sass {
namespace {

constexpr char kHead[] =
    "# Accepted costs of the kernels: tools/sass/ceilings.h says what they mean, tools/sass/README.md how to renew "
    "them.\n"
    "# arch registers shared calls mmas slots/mma  library: kernel\n";

std::string NameOf(const Key& key) { return absl::StrCat("sm_", key.first, " ", key.second); }

}  // namespace

void AddCosts(const std::string& library, const Cubin& cubin, Ceilings& costs) {
  for (const Kernel& kernel : cubin.kernels) {
    const Mix mix = Analyse(kernel, cubin.architecture);
    Cost& cost = costs[{cubin.architecture, absl::StrCat(library, ": ", kernel.name)}];
    cost.registers = std::max(cost.registers, kernel.registers);
    cost.shared_bytes = std::max(cost.shared_bytes, kernel.shared_bytes);
    int calls = 0;
    for (const Loop& loop : mix.loops) calls += loop.innermost ? loop.calls : 0;
    cost.calls = std::max(cost.calls, calls);
    if (const Loop* loop = mix.MainLoop(); loop != nullptr && loop->mmas > 0) {
      cost.mmas = std::max(cost.mmas, loop->mmas);
      cost.slots_per_mma = std::max(cost.slots_per_mma, loop->SlotsPerMma());
    }
  }
}

std::vector<std::string> Forbidden(const std::string& library, const Cubin& cubin) {
  std::vector<std::string> lines;
  for (const Kernel& kernel : cubin.kernels) {
    const Mix mix = Analyse(kernel, cubin.architecture);
    const std::string name = absl::StrCat("sm_", cubin.architecture, " ", library, ": ", kernel.name);
    if (mix.local > 0) {
      lines.push_back(absl::StrCat(name, ": ", mix.local, " LDL/STL, ", kernel.frame_bytes,
                                   " bytes of stack: spills or an array with a variable index"));
    }
    for (const Loop& loop : mix.loops) {
      if (loop.innermost && loop.mmas > 0 && loop.calls > 0) {
        lines.push_back(absl::StrCat(name, ": ", loop.calls, " calls in a loop with MMAs"));
      }
    }
  }
  return lines;
}

std::vector<std::string> Compare(const Ceilings& costs, const Ceilings& accepted) {
  std::vector<std::string> lines;
  std::set<int> architectures;
  for (const auto& [key, cost] : costs) {
    architectures.insert(key.first);
    const auto found = accepted.find(key);
    if (found == accepted.end()) {
      lines.push_back(absl::StrCat(NameOf(key), ": not in the table"));
      continue;
    }
    const Cost& was = found->second;
    auto worse = [&](const char* what, double now, double before) {
      if (now > before) lines.push_back(absl::StrFormat("%s: %s %g, accepted %g", NameOf(key), what, now, before));
    };
    worse("registers", cost.registers, was.registers);
    worse("shared bytes", static_cast<double>(cost.shared_bytes), static_cast<double>(was.shared_bytes));
    worse("calls in loops", cost.calls, was.calls);
    worse("slots per MMA", cost.slots_per_mma, was.slots_per_mma + 0.005);  // the table has two digits
    if (was.mmas > 0 && cost.mmas == 0) lines.push_back(absl::StrCat(NameOf(key), ": no MMA in any loop any more"));
  }
  for (const auto& [key, cost] : accepted) {
    if (architectures.count(key.first) != 0 && costs.count(key) == 0) {
      lines.push_back(absl::StrCat(NameOf(key), ": in the table, but there is no such kernel"));
    }
  }
  return lines;
}

std::string Print(const Ceilings& ceilings) {
  std::string text = kHead;
  for (const auto& [key, cost] : ceilings) {
    const std::string slots = cost.mmas > 0 ? absl::StrFormat("%.2f", cost.slots_per_mma) : "-";
    absl::StrAppendFormat(&text, "%3d %3d %6d %2d %3d %6s  %s\n", key.first, cost.registers, cost.shared_bytes,
                          cost.calls, cost.mmas, slots, key.second);
  }
  return text;
}

absl::StatusOr<Ceilings> Parse(absl::string_view text) {
  Ceilings ceilings;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    int architecture = 0;
    Cost cost;
    std::vector<std::string> words;
    absl::string_view rest = line;
    for (int i = 0; i < 6; ++i) {
      rest = absl::StripLeadingAsciiWhitespace(rest);
      const size_t end = std::min(rest.find(' '), rest.size());
      words.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    rest = absl::StripAsciiWhitespace(rest);
    const bool good = absl::SimpleAtoi(words[0], &architecture) && absl::SimpleAtoi(words[1], &cost.registers) &&
                      absl::SimpleAtoi(words[2], &cost.shared_bytes) && absl::SimpleAtoi(words[3], &cost.calls) &&
                      absl::SimpleAtoi(words[4], &cost.mmas) &&
                      (words[5] == "-" || absl::SimpleAtod(words[5], &cost.slots_per_mma)) && !rest.empty();
    if (!good) return absl::InvalidArgumentError(absl::StrCat("line ", number, ": \"", line, "\""));
    ceilings[{architecture, std::string(rest)}] = cost;
  }
  return ceilings;
}

}  // namespace eaq::sass

#include "tools/sass/occupancy.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/architecture.h"
#include "kernels/roofline/chip.h"
#include "tools/sass/flight.h"

namespace eaq::sass {
namespace {

constexpr int kColumns[] = {80, 86, 89, 90};
constexpr char kHead[] =
    "# Accepted blocks of the kernels on a multiprocessor: tools/sass/occupancy.h says what they mean, "
    "tools/sass/README.md\n"
    "# how to renew them.\n"
    "# threads dynamic   80  86  89  90  library: kernel\n";

std::string ThreadsOf(const std::string& name, int threads) {
  return absl::StrCat(name, " with ", threads, " threads");
}

// "147/16 KiB", for the chip of this architecture that needs most.
std::string Flight(const Resident& r) {
  const std::optional<int64_t> bytes = FlightBytes(r.kernel, r.occupancy.blocks);
  double needed = 0;
  for (const kernels::roofline::Chip& chip : kernels::roofline::Chips()) {
    if (chip.architecture == r.architecture) needed = std::max(needed, FlightNeeded(chip));
  }
  if (!bytes.has_value() || needed == 0) return "-";
  return absl::StrFormat("%.0f/%.0f%s", static_cast<double>(*bytes) / 1024, needed / 1024,
                         static_cast<double>(*bytes) < needed ? "!" : "");
}

}  // namespace

absl::StatusOr<std::vector<Resident>> Residents(const std::vector<Found>& found, const Launches& launches) {
  std::map<std::tuple<int, std::string, int>, Resident> sorted;
  for (const Found& file : found) {
    const kernels::Architecture* architecture = kernels::FindArchitecture(file.cubin.architecture);
    if (architecture == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(file.path, ": machine code for sm_", file.cubin.architecture,
                                                     ", which kernels/architecture.h does not know"));
    }
    for (const Kernel& kernel : file.cubin.kernels) {
      static const auto& unknown = *new std::map<int, int64_t>{{0, 0}};
      const auto launched = launches.find(kernel.name);
      for (const auto& [threads, dynamic_bytes] : launched == launches.end() ? unknown : launched->second) {
        Resident r{file.cubin.architecture, file.library,        kernel.name,   threads,
                   kernel.registers,        kernel.shared_bytes, dynamic_bytes, {}};
        if (threads > 0) {
          r.occupancy = kernels::roofline::OccupancyOf({threads, kernel.registers, kernel.shared_bytes + dynamic_bytes},
                                                       *architecture);
        }
        const auto [place, is_new] = sorted.try_emplace({r.architecture, r.name(), threads}, r);
        if (!is_new && r.occupancy.blocks < place->second.occupancy.blocks) place->second = r;
      }
    }
  }
  std::vector<Resident> residents;
  for (auto& [key, resident] : sorted) residents.push_back(std::move(resident));
  return residents;
}

std::string PrintResidents(const std::vector<Resident>& residents) {
  std::string text = "arch  threads regs static dynamic  blocks warps share  limit       flight  library: kernel\n";
  for (const Resident& r : residents) {
    if (r.threads == 0) {
      absl::StrAppendFormat(&text, "sm_%d  no launch is known of %s\n", r.architecture, r.name());
      continue;
    }
    const kernels::roofline::Occupancy& o = r.occupancy;
    const int most = kernels::FindArchitecture(r.architecture)->threads / 32;
    absl::StrAppendFormat(&text, "sm_%d %8d %4d %6d %7d  %6d %5d %4.0f%%  %-9s %8s  %s\n", r.architecture, r.threads,
                          r.registers, r.static_bytes, r.dynamic_bytes, o.blocks, o.warps, 100.0 * o.warps / most,
                          o.limit, Flight(r), r.name());
  }
  return text;
}

AcceptedOccupancy ToAccepted(const std::vector<Resident>& residents) {
  AcceptedOccupancy accepted;
  for (const Resident& r : residents) {
    if (r.threads == 0) continue;
    AcceptedBlocks& line = accepted[{r.name(), r.threads}];
    line.dynamic_bytes = r.dynamic_bytes;
    line.blocks[r.architecture] = r.occupancy.blocks;
  }
  return accepted;
}

std::string PrintOccupancy(const AcceptedOccupancy& accepted) {
  std::string text = kHead;
  for (const auto& [key, line] : accepted) {
    absl::StrAppendFormat(&text, "%9d %7d ", key.second, line.dynamic_bytes);
    for (const int architecture : kColumns) {
      const auto blocks = line.blocks.find(architecture);
      const std::string word = blocks == line.blocks.end() ? "-" : absl::StrCat(blocks->second);
      absl::StrAppendFormat(&text, " %3s", word);
    }
    absl::StrAppend(&text, "  ", key.first, "\n");
  }
  return text;
}

absl::StatusOr<AcceptedOccupancy> ParseOccupancy(absl::string_view text) {
  AcceptedOccupancy accepted;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    constexpr size_t kNumbers = 2 + std::size(kColumns);
    int threads = 0;
    AcceptedBlocks blocks;
    bool good = words.size() > kNumbers && absl::SimpleAtoi(words[0], &threads) &&
                absl::SimpleAtoi(words[1], &blocks.dynamic_bytes);
    for (size_t i = 0; good && i < std::size(kColumns); ++i) {
      if (words[2 + i] != "-") good = absl::SimpleAtoi(words[2 + i], &blocks.blocks[kColumns[i]]);
    }
    if (!good) return absl::InvalidArgumentError(absl::StrCat("line ", number, ": \"", line, "\""));
    const std::string name = absl::StrJoin(words.begin() + kNumbers, words.end(), " ");
    if (!accepted.try_emplace({name, threads}, std::move(blocks)).second) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": a second one of ", ThreadsOf(name, threads)));
    }
  }
  return accepted;
}

std::vector<std::string> CompareOccupancy(const std::vector<Resident>& residents, const AcceptedOccupancy& accepted) {
  std::vector<std::string> lines;
  std::set<int> architectures;
  for (const Resident& r : residents) {
    architectures.insert(r.architecture);
    const std::string name = absl::StrCat("sm_", r.architecture, " ", ThreadsOf(r.name(), r.threads));
    if (r.threads == 0) {
      lines.push_back(absl::StrCat("sm_", r.architecture, " ", r.name(), ": no check launches it (kernels/selftest)"));
      continue;
    }
    if (r.occupancy.blocks == 0) {
      lines.push_back(absl::StrCat(name, ": the device refuses the launch, by ", r.occupancy.limit));
    }
    const auto found = accepted.find({r.name(), r.threads});
    if (found == accepted.end() || found->second.blocks.count(r.architecture) == 0) {
      lines.push_back(absl::StrCat(name, ": not in the table"));
      continue;
    }
    const AcceptedBlocks& was = found->second;
    if (const int blocks = was.blocks.at(r.architecture); r.occupancy.blocks < blocks) {
      lines.push_back(absl::StrCat(name, ": ", r.occupancy.blocks, " blocks, accepted ", blocks, "; limited by ",
                                   r.occupancy.limit, " (", r.registers, " registers, ", r.static_bytes, " + ",
                                   r.dynamic_bytes, " bytes of shared memory)"));
    }
    if (r.dynamic_bytes > was.dynamic_bytes) {
      lines.push_back(
          absl::StrCat(name, ": ", r.dynamic_bytes, " bytes of dynamic shared memory, accepted ", was.dynamic_bytes));
    }
  }
  const AcceptedOccupancy now = ToAccepted(residents);
  for (const auto& [key, was] : accepted) {
    const auto found = now.find(key);
    for (const auto& [architecture, blocks] : was.blocks) {
      if (architectures.count(architecture) == 0) continue;
      if (found != now.end() && found->second.blocks.count(architecture) != 0) continue;
      lines.push_back(absl::StrCat("sm_", architecture, " ", ThreadsOf(key.first, key.second),
                                   ": in the table, but there is no such launch of such a kernel"));
    }
  }
  return lines;
}

}  // namespace eaq::sass

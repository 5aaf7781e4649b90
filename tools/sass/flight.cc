#include "tools/sass/flight.h"

#include <algorithm>
#include <array>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace eaq::sass {

std::vector<GemmTile> GemmTilesOf(const std::string& kernel) {
  const std::string kConfig = "::GemmConfig<";
  std::vector<GemmTile> tiles;
  for (size_t at = kernel.find(kConfig); at != std::string::npos; at = kernel.find(kConfig, at + 1)) {
    const size_t begin = at + kConfig.size(), end = kernel.find('>', begin);
    const std::vector<std::string> words = absl::StrSplit(kernel.substr(begin, end - begin), ", ");
    std::array<int, 10> n;
    if (words.size() != n.size()) return {};
    for (size_t i = 0; i < n.size(); ++i) {
      if (!absl::SimpleAtoi(words[i], &n[i])) return {};
    }
    tiles.push_back({{n[0], n[1], n[2]}, {n[3], n[4], n[5], n[6], n[7], n[8], n[9]}});
  }
  return tiles;
}

std::optional<int64_t> FlightBytes(const std::string& kernel, int blocks) {
  std::optional<int64_t> least;
  for (const GemmTile& tile : GemmTilesOf(kernel)) {
    const int64_t bytes = int64_t{tile.shape.stages - 1} * kernels::cuda::StageOf(tile.kind, tile.shape).bytes() *
                          std::min(blocks, tile.shape.blocks);
    least = std::min(least.value_or(bytes), bytes);
  }
  return least;
}

double FlightNeeded(const kernels::roofline::Chip& chip) { return chip.memory * chip.latency / chip.multiprocessors; }

}  // namespace eaq::sass

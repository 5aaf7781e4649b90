// The accepted costs of every kernel's machine code, and the comparison with what was just compiled. ceilings.txt has a
// line for each kernel and architecture:
//
//   arch registers shared calls mmas slots/mma  library: kernel
//   80   96        24576  0     16   6.19       grouped_gemm_w8a8: Kernel<8, 8>
//
// shared: static bytes; calls: CALLs in innermost loops (slow paths of division and the like); mmas: in the main loop,
// the one with the most; slots/mma: instructions of that loop for each, "-" without. Of several kernels of one name the
// worst of each counts.
//
// Less is better but for `mmas`, which must not fall to 0. Never accepted: local memory (spills, indexed arrays), calls
// in an innermost loop with MMAs.
#ifndef TOOLS_SASS_CEILINGS_H_
#define TOOLS_SASS_CEILINGS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/sass/cubin.h"

namespace eaq::sass {

struct Cost {
  int registers = 0;
  int64_t shared_bytes = 0;
  int calls = 0;
  int mmas = 0;
  double slots_per_mma = 0;
};

using Key = std::pair<int, std::string>;  // architecture, "library: kernel"
using Ceilings = std::map<Key, Cost>;

// Adds a cubin's kernels; LIBRARY is the stem of its .cu file.
void AddCosts(const std::string& library, const Cubin& cubin, Ceilings& costs);

// What no table may accept: one line each, empty if all is well.
std::vector<std::string> Forbidden(const std::string& library, const Cubin& cubin);

// One line for each kernel that is worse than accepted, new, or gone (of the architectures in COSTS).
std::vector<std::string> Compare(const Ceilings& costs, const Ceilings& accepted);

std::string Print(const Ceilings& ceilings);
absl::StatusOr<Ceilings> Parse(absl::string_view text);

}  // namespace eaq::sass

#endif  // TOOLS_SASS_CEILINGS_H_

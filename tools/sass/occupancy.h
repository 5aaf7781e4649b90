// How many blocks of each kernel run at once on a multiprocessor: registers and static shared memory from its machine
// code, threads and dynamic shared memory from its launches; and the table of what is accepted. occupancy.txt has a
// line for each kernel and number of threads:
//
//   threads dynamic   80  86  89  90  library: kernel
//       128   24832    4   3   3   4  grouped_gemm_w8a8: GroupedGemmKernel<...>
//
// dynamic: the most bytes that a launch asked for; then the blocks of each architecture, "-" where there is no machine
// code. More blocks and fewer bytes are better. A kernel of several functions with one name counts as its worst.
#ifndef TOOLS_SASS_OCCUPANCY_H_
#define TOOLS_SASS_OCCUPANCY_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/roofline/occupancy.h"
#include "tools/sass/find_cubins.h"

namespace eaq::sass {

// Short name of a kernel -> threads of a block -> the most bytes of dynamic shared memory.
using Launches = std::map<std::string, std::map<int, int64_t>>;

struct Resident {
  int architecture = 0;
  std::string library, kernel;
  int threads = 0;  // 0: no launch is known
  int registers = 0;
  int64_t static_bytes = 0, dynamic_bytes = 0;
  kernels::roofline::Occupancy occupancy;
  std::string name() const { return library + ": " + kernel; }
};

// By architecture, name and threads. An architecture that kernels/architecture.h lacks is an error.
absl::StatusOr<std::vector<Resident>> Residents(const std::vector<Found>& found, const Launches& launches);

// The table for people: with warps, their share of the most that there can be, what limits them, and the bytes on their
// way from memory, have/need (flight.h), "!" where they are too few.
std::string PrintResidents(const std::vector<Resident>& residents);

struct AcceptedBlocks {
  int64_t dynamic_bytes = 0;
  std::map<int, int> blocks;  // by architecture
};
using AcceptedOccupancy = std::map<std::pair<std::string, int>, AcceptedBlocks>;  // name and threads

AcceptedOccupancy ToAccepted(const std::vector<Resident>& residents);
std::string PrintOccupancy(const AcceptedOccupancy& accepted);
absl::StatusOr<AcceptedOccupancy> ParseOccupancy(absl::string_view text);

// One line for each kernel that nothing launches, or that has fewer blocks or more bytes than accepted, is new, or is
// gone (of the architectures in RESIDENTS).
std::vector<std::string> CompareOccupancy(const std::vector<Resident>& residents, const AcceptedOccupancy& accepted);

}  // namespace eaq::sass

#endif  // TOOLS_SASS_OCCUPANCY_H_

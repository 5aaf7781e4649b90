// How many blocks of every kernel run at once on a multiprocessor, and what limits them: registers and shared memory of
// the machine code, threads and dynamic shared memory as the kernels' checks launch them (emulated, about a minute).
//
//   occupancy FILE.cubin|FOLDER ...              the table
//   occupancy --accepted FILE.cubin|FOLDER ...   the lines of tools/sass/occupancy.txt
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "tools/sass/find_cubins.h"
#include "tools/sass/launches.h"
#include "tools/sass/occupancy.h"

namespace eaq::sass {
namespace {

int Fail(const absl::Status& status) {
  absl::FPrintF(stderr, "occupancy: %s\n", status.message());
  return 1;
}

int Run(const std::vector<std::string>& arguments) {
  bool accepted = false;
  std::vector<Found> all;
  for (const std::string& argument : arguments) {
    if (argument == "--accepted") {
      accepted = true;
      continue;
    }
    const absl::StatusOr<std::vector<Found>> found = FindCubins(ResolveUserPath(argument));
    if (!found.ok()) return Fail(found.status());
    all.insert(all.end(), found->begin(), found->end());
  }
  if (all.empty()) {
    absl::FPrintF(stderr, "usage: occupancy [--accepted] FILE.cubin|FOLDER ...: no cubin found\n");
    return 2;
  }
  const absl::StatusOr<Launches> launches = LaunchesOfChecks();
  if (!launches.ok()) return Fail(launches.status());
  const absl::StatusOr<std::vector<Resident>> residents = Residents(all, *launches);
  if (!residents.ok()) return Fail(residents.status());
  absl::PrintF("%s", accepted ? PrintOccupancy(ToAccepted(*residents)) : PrintResidents(*residents));
  return 0;
}

}  // namespace
}  // namespace eaq::sass

int main(int argc, char** argv) { return eaq::sass::Run(std::vector<std::string>(argv + 1, argv + argc)); }

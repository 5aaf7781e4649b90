// How the kernels are launched, as their checks do it (kernels/selftest), emulated.
#ifndef TOOLS_SASS_LAUNCHES_H_
#define TOOLS_SASS_LAUNCHES_H_

#include "absl/status/statusor.h"
#include "tools/sass/occupancy.h"

namespace eaq::sass {

// Runs every check, as sm_86 and as sm_90, and writes down all launches. An error where a check fails, or where a
// launched function has no name.
absl::StatusOr<Launches> LaunchesOfChecks();

}  // namespace eaq::sass

#endif  // TOOLS_SASS_LAUNCHES_H_

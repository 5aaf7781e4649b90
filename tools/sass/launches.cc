#include "tools/sass/launches.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "kernels/emulation/launch_log.h"
#include "kernels/emulation/options.h"
#include "kernels/selftest/check.h"
#include "tools/sass/cubin.h"
#include "tools/sass/own_functions.h"

namespace eaq::sass {

absl::StatusOr<Launches> LaunchesOfChecks() {
  namespace emulation = kernels::emulation;
  namespace selftest = kernels::selftest;
  const emulation::LaunchLog log;
  for (const int architecture : {86, 90}) {
    emulation::Options options = emulation::CurrentOptions();
    options.architecture = architecture;
    const emulation::ScopedOptions scope(options);
    for (const selftest::CheckCase& check : selftest::AllChecks()) {
      const selftest::Outcome outcome = selftest::RunCheck(check, /*seed=*/1);
      if (!outcome.passed()) {
        return absl::InternalError(absl::StrCat("check ", outcome.name, " failed on sm_", architecture, ": ",
                                                outcome.messages.empty() ? "" : outcome.messages[0]));
      }
    }
  }
  EAQ_ASSIGN_OR_RETURN(const auto functions, OwnFunctions());
  Launches launches;
  for (const emulation::LaunchShape& shape : log.Shapes()) {
    const auto function = functions.find(shape.kernel);
    if (function == functions.end()) {
      return absl::NotFoundError(absl::StrCat("a launched kernel lies at ", absl::Hex(shape.kernel),
                                              ", where this program's symbol table has no function"));
    }
    int64_t& bytes = launches[ShortName(function->second)][shape.threads];
    bytes = std::max(bytes, static_cast<int64_t>(shape.dynamic_bytes));
  }
  return launches;
}

}  // namespace eaq::sass

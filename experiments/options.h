// The command line of `sweep`.
#ifndef EXPERIMENTS_OPTIONS_H_
#define EXPERIMENTS_OPTIONS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/ledger/types.h"

namespace eaq {

struct SweepOptions {
  bool help = false, plan = false, check = false;
  std::vector<std::string> specs;  // as typed; empty: experiments/specs/default.textproto
  std::string ledger, out;         // as typed; empty: below <workspace>/out
  std::set<Outcome> retry = {Outcome::kLost};
  std::string only;  // run and show just the trial whose key starts so
  int jobs = 0;      // 0: one per processor
  bool fail_fast = false, quiet = false, timings = true;
  std::string format = "text", color = "auto";
  double timeout = 0;  // seconds per trial; 0: none
  std::string backend = "cpu";
};

// InvalidArgument (exit 2) with a suggestion for a flag that does not exist.
absl::StatusOr<SweepOptions> ParseOptions(const std::vector<std::string>& args);
std::string HelpText();

}  // namespace eaq

#endif  // EXPERIMENTS_OPTIONS_H_

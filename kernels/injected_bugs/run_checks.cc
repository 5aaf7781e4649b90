// The checks that are linked with it, emulated, under every schedule. Exit code 1 and a line on stderr when one fails;
// what the emulator itself complains about ends the program before that. --filter=TEXT: only the checks with TEXT in
// their names. --conflicts: also when a warp's accesses to shared memory meet in a bank.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "kernels/emulation/counters.h"
#include "kernels/emulation/options.h"
#include "kernels/selftest/check.h"

int main(int argc, char** argv) {
  using namespace eaq::kernels;
  bool conflicts = false, understood = true;
  std::string filter;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--conflicts") {
      conflicts = true;
    } else if (argument.compare(0, 9, "--filter=") == 0) {
      filter = argument.substr(9);
    } else {
      understood = false;
    }
  }
  std::vector<selftest::CheckCase> checks;
  for (const selftest::CheckCase& check : selftest::AllChecks()) {
    if (std::string(check.name).find(filter) != std::string::npos) checks.push_back(check);
  }
  if (checks.empty() || !understood) {
    std::fprintf(stderr, "usage: run_checks [--filter=TEXT] [--conflicts], with at least one check\n");
    return 2;
  }
  emulation::ResetCounters();
  for (emulation::Options options : emulation::AllSchedules()) {
    options.architecture = 90;
    const emulation::ScopedOptions scope(options);
    for (const selftest::CheckCase& check : checks) {
      const selftest::Outcome outcome = selftest::RunCheck(check, /*seed=*/1);
      if (outcome.passed()) continue;
      std::fprintf(stderr, "%s: wrong under %s: %s\n", check.name, emulation::ToString(options).c_str(),
                   outcome.messages[0].c_str());
      return 1;
    }
    if (conflicts) break;  // the same in any order
  }
  const uint64_t met = emulation::ReadCounters().BankConflicts();
  if (conflicts && met > 0) {
    std::fprintf(stderr, "%llu bank conflicts\n", static_cast<unsigned long long>(met));
    return 1;
  }
  return 0;
}

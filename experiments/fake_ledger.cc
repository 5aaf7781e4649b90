// //experiments:ledger with trials that take no time, for ledger_cli_test: their results are those of the frozen
// ledger, one bit off with EAQ_FAKE_DIFFERENCE set.
#include <cmath>
#include <cstdlib>

#include "eaq/ledger/testing.h"
#include "experiments/ledger_verbs.h"

namespace {

absl::StatusOr<eaq::TrialResult> FakeTrial(const eaq::TrialSpec& spec, int threads) {
  eaq::TrialResult result = eaq::testing::MakeResult(static_cast<int>(spec.calibration().seed()));
  result.set_threads(threads);
  if (std::getenv("EAQ_FAKE_DIFFERENCE") != nullptr) {
    result.mutable_metric(0)->set_value(std::nextafter(result.metric(0).value(), 0.0));
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) { return eaq::LedgerMain({argv + 1, argv + argc}, FakeTrial); }

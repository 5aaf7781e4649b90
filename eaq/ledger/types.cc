#include "eaq/ledger/types.h"

#include "absl/strings/str_cat.h"

namespace eaq {
namespace {

constexpr Outcome kOutcomes[] = {Outcome::kOk,      Outcome::kFailed, Outcome::kOom,
                                 Outcome::kTimeout, Outcome::kLost,   Outcome::kInterrupted};

}  // namespace

absl::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk:
      return "ok";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kOom:
      return "oom";
    case Outcome::kTimeout:
      return "timeout";
    case Outcome::kLost:
      return "lost";
    case Outcome::kInterrupted:
      return "interrupted";
  }
  return "failed";
}

absl::StatusOr<Outcome> ParseOutcome(absl::string_view name) {
  for (const Outcome outcome : kOutcomes) {
    if (OutcomeName(outcome) == name) return outcome;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown outcome \"", name, "\", expected ok, failed, oom, timeout, lost or interrupted"));
}

}  // namespace eaq

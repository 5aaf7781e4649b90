// Writes testdata/ledger_vN.db once, when schema N is new: four trials (the last one failed) and a sweep.
//   bazel run //eaq/ledger:make_frozen -- /absolute/path/of/the/new/file
#include <cstdio>

#include "eaq/base/file.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/testing.h"

namespace eaq {
namespace {

absl::Status MakeFrozen(const std::string& path) {
  if (FileExists(path)) return absl::AlreadyExistsError(path + ": a frozen file is never written again");
  const std::string wide = path + ".tmp.db";
  absl::StatusOr<std::unique_ptr<Ledger>> ledger = Ledger::Open(wide, Ledger::Mode::kCreate);
  if (!ledger.ok()) return ledger.status();
  for (int i = 0; i < 3; ++i) {
    if (const auto recorded = testing::RecordTrial(**ledger, i); !recorded.ok()) return recorded.status();
  }
  const TrialSpec spec = testing::MakeSpec(3);
  Attempt failed = testing::MakeAttempt(3);
  failed.outcome = Outcome::kOom;
  failed.exit_code = 137;
  absl::Status status = (*ledger)->RecordFailure(TrialKey(spec), spec, testing::MakeProvenance(), failed);
  if (status.ok()) status = (*ledger)->RecordSweep({"", 1, "frozen", "spec", "sweep", {TrialKey(spec)}}).status();
  if (status.ok()) status = (*ledger)->Backup(path);
  ledger->reset();
  if (status.ok()) status = RemoveFile(wide);
  return status;
}

}  // namespace
}  // namespace eaq

int main(int argc, char** argv) {
  const absl::Status status = argc == 2 ? eaq::MakeFrozen(argv[1]) : absl::InvalidArgumentError("give one path");
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

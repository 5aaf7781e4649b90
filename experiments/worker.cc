#include "experiments/worker.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/provenance.h"

namespace eaq {
namespace {

void Send(const std::string& line) {
  size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t n = write(kMessageDescriptor, line.data() + sent, line.size() - sent);
    if (n <= 0) return;  // nobody listens: the result counts, not the message
    sent += n;
  }
}

int64_t ResidentBytes() {
  FILE* file = std::freopen("/proc/self/statm", "r", stdin);  // standard input was read to its end long ago
  long pages = 0, resident = 0;
  if (file == nullptr || std::fscanf(file, "%ld %ld", &pages, &resident) != 2) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

class PipeProgress : public ProgressSink {
 public:
  void Update(absl::string_view stage, int64_t done, int64_t total) override {
    const auto now = std::chrono::steady_clock::now();
    if (stage == stage_ && done != total && now - last_ < std::chrono::milliseconds(100)) return;
    last_ = now;
    stage_ = std::string(stage);
    Send(absl::StrCat("P\t", absl::CEscape(stage), "\t", done, "\t", total, "\t", ResidentBytes(), "\n"));
  }

 private:
  std::chrono::steady_clock::time_point last_;
  std::string stage_;
};

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::fflush(stderr);
  Send(absl::StrCat("E\t", absl::CEscape(status.message()), "\n"));
  return code;
}

int Work(const TrialRunner& runner) {
  std::string bytes;
  char buffer[4096];
  for (ssize_t n; (n = read(STDIN_FILENO, buffer, sizeof buffer)) > 0;) bytes.append(buffer, n);
  WorkerJob job;
  if (!job.ParseFromString(bytes) || job.key().empty()) {
    return Fail(absl::InternalError("--worker is how sweep starts itself; it is not for people"), 2);
  }
  CrashPoint("worker_start");
  Attempt attempt;
  attempt.trial = job.key();
  attempt.sweep = job.sweep();
  attempt.started_ns = absl::GetCurrentTimeNanos();
  attempt.command = job.command();
  attempt.log = job.log();
  attempt.host = HostName();
  attempt.pid = getpid();
  const auto start = std::chrono::steady_clock::now();
  PipeProgress progress;
  absl::StatusOr<TrialResult> result = runner(job, progress);
  if (!result.ok()) {
    const bool memory = result.status().code() == absl::StatusCode::kResourceExhausted &&
                        result.status().message().find("memory") != absl::string_view::npos;
    return Fail(result.status(), memory ? kExitOutOfMemory : 1);
  }
  attempt.duration_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
  attempt.finished_ns = absl::GetCurrentTimeNanos();
  Provenance provenance = CollectProvenance();
  provenance.model_hash = job.spec().model().hash();
  for (const auto& [name, text] : job.corpora()) provenance.corpora[name] = text;
  CrashPoint("before_record");
  const auto ledger = Ledger::Open(job.ledger(), Ledger::Mode::kExisting);
  if (!ledger.ok()) return Fail(ledger.status(), 3);
  const absl::StatusOr<bool> recorded = (*ledger)->RecordResult(job.key(), job.spec(), *result, provenance, attempt);
  if (!recorded.ok()) return Fail(recorded.status(), 3);
  CrashPoint("after_commit");
  return 0;
}

}  // namespace

int WorkerMain(const TrialRunner& runner) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, SIG_IGN);  // the coordinator decides
  try {
    return Work(runner);
  } catch (const std::bad_alloc&) {
    return Fail(absl::ResourceExhaustedError("out of memory"), kExitOutOfMemory);
  }
}

void CrashPoint(const char* name) {
  const char* wanted = std::getenv("EAQ_CRASH_AT");
  if (wanted != nullptr && std::strcmp(wanted, name) == 0) raise(SIGKILL);
}

}  // namespace eaq

#include "experiments/coordinator.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "eaq/base/file.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"
#include "eaq/ledger/provenance.h"
#include "experiments/process.h"
#include "experiments/worker.h"

namespace eaq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLogTail = 64 << 10;
constexpr double kTermToKill = 2;  // seconds between SIGTERM and SIGKILL
constexpr int64_t kMinFreeBytes = 64 << 20;

std::atomic<int> g_signals{0};
std::atomic<int> g_last_signal{0};
void OnSignal(int number) {
  g_last_signal = number;
  ++g_signals;
}

// How often the system has killed for memory so far (/proc/vmstat); 0 when it does not say.
int64_t OomKills() {
  const auto text = ReadFile("/proc/vmstat");
  if (!text.ok()) return 0;
  const size_t at = text->find("\noom_kill ");
  int64_t n = 0;
  if (at != std::string::npos) (void)absl::SimpleAtoi(text->substr(at + 10, text->find('\n', at + 1) - at - 10), &n);
  return n;
}

class Running {
 public:
  Running(const PlannedTrial& trial, Child child, int64_t oom_kills)
      : trial(trial), child(child), oom_kills(oom_kills) {
    view.trial = TrialLabel(trial.spec);
  }
  const PlannedTrial& trial;
  Child child;
  int64_t oom_kills;
  WorkerView view;
  std::string messages, log, error;
  Clock::time_point start = Clock::now();
  int64_t started_ns = absl::GetCurrentTimeNanos();
  bool terminated = false, killed = false, timed_out = false;
  Clock::time_point terminated_at;

  void Read() {
    ReadAvailable(child.messages, messages);
    for (size_t end; (end = messages.find('\n')) != std::string::npos; messages.erase(0, end + 1)) {
      const std::vector<std::string> part = absl::StrSplit(messages.substr(0, end), '\t');
      if (part.size() == 5 && part[0] == "P") {
        view.stage = part[1];
        (void)absl::SimpleAtoi(part[2], &view.done);
        (void)absl::SimpleAtoi(part[3], &view.total);
        (void)absl::SimpleAtoi(part[4], &view.memory);
      } else if (part.size() == 2 && part[0] == "E") {
        (void)absl::CUnescape(part[1], &error);
      }
    }
    if (messages.size() > kLogTail) messages.clear();
    ReadAvailable(child.output, log);
    if (log.size() > 2 * kLogTail) log.erase(0, log.size() - kLogTail);
  }
  void Terminate() {
    if (terminated) return;
    terminated = true;
    terminated_at = Clock::now();
    kill(-child.pid, SIGTERM);
    kill(child.pid, SIGTERM);
  }
  void Kill() {
    killed = true;
    kill(-child.pid, SIGKILL);
    kill(child.pid, SIGKILL);
  }
};

class Coordinator {
 public:
  Coordinator(const SweepPlan& plan, Ledger& ledger, const CoordinatorOptions& options, ProgressView& view)
      : plan_(plan), ledger_(ledger), options_(options), view_(view), owner_(ThisProcess("sweep")) {}
  ~Coordinator() {
    for (auto& running : running_) {
      running->Kill();
      waitpid(running->child.pid, nullptr, 0);
    }
  }

  absl::StatusOr<SweepOutcome> Run() {
    EAQ_RETURN_IF_ERROR(Sort());
    Clock::time_point heartbeat = Clock::now(), retry_held = Clock::now();
    while (true) {
      Signals();
      const bool open = !stopping_;
      while (open && !pending_.empty() && running_.size() < static_cast<size_t>(options_.jobs) && !BaselineRuns()) {
        const PlannedTrial* next = pending_.front();
        pending_.pop_front();
        EAQ_RETURN_IF_ERROR(TryStart(*next, /*was_held=*/false));
        if (stopping_) break;
      }
      if (running_.empty() && (stopping_ || (pending_.empty() && held_.empty()))) break;
      if (!stopping_ && pending_.empty() && !held_.empty() && running_.size() < static_cast<size_t>(options_.jobs) &&
          SecondsSince(retry_held) > 0.5) {
        retry_held = Clock::now();
        if (!told_held_) view_.Event(absl::StrCat("waiting for ", held_.size(), " trials that another sweep runs"));
        told_held_ = true;
        std::deque<const PlannedTrial*> again;
        again.swap(held_);
        for (const PlannedTrial* trial : again) {
          if (running_.size() < static_cast<size_t>(options_.jobs)) {
            EAQ_RETURN_IF_ERROR(TryStart(*trial, /*was_held=*/true));
          } else {
            held_.push_back(trial);
          }
        }
      }
      Wait();
      EAQ_RETURN_IF_ERROR(Collect());
      if (SecondsSince(heartbeat) > 10) {
        heartbeat = Clock::now();
        EAQ_RETURN_IF_ERROR(ledger_.Heartbeat(owner_));
      }
      view_.Draw(View());
    }
    outcome_.left = pending_.size() + held_.size() + parked_;
    EAQ_RETURN_IF_ERROR(ledger_.Release({}, owner_));
    outcome_.signal = g_signals > 0 ? g_last_signal.load() : 0;
    return outcome_;
  }

 private:
  // What is done, what failed before and stays so, what is to be run.
  absl::Status Sort() {
    std::vector<std::string> keys;
    for (const PlannedTrial& trial : plan_.trials) keys.push_back(trial.key);
    EAQ_ASSIGN_OR_RETURN(const std::set<std::string> done, ledger_.Done(keys));
    EAQ_ASSIGN_OR_RETURN(const std::vector<TrialRow> rows, ledger_.ListTrials());
    std::map<std::string, std::string> status;
    for (const TrialRow& row : rows) status[row.key] = row.status;
    for (const PlannedTrial& trial : plan_.trials) {
      if (done.count(trial.key) > 0) {
        ++outcome_.done_before;
      } else if (StaysFailed(status[trial.key])) {
        ++outcome_.failed_before;
      } else if (!trial.spec.has_recipe()) {
        pending_.push_front(&trial);  // full precision first: the others compare themselves with it
      } else {
        pending_.push_back(&trial);
      }
    }
    EAQ_ASSIGN_OR_RETURN(const std::vector<Timing> timings, ledger_.Timings());
    for (const Timing& timing : timings) {
      auto& [sum, n] = history_[timing.recipe + "/" + timing.scheme];
      sum += timing.seconds;
      ++n;
    }
    return absl::OkStatus();
  }

  bool StaysFailed(const std::string& status) const {
    const absl::StatusOr<Outcome> outcome = ParseOutcome(status);
    if (!outcome.ok() || *outcome == Outcome::kOk || *outcome == Outcome::kInterrupted) return false;
    return options_.retry.count(*outcome) == 0;
  }

  bool BaselineRuns() const {
    for (const auto& running : running_) {
      if (!running->trial.spec.has_recipe()) return true;
    }
    return false;
  }

  absl::Status TryStart(const PlannedTrial& trial, bool was_held) {
    EAQ_ASSIGN_OR_RETURN(ClaimOutcome claim, ledger_.Claim({trial.key}, owner_));
    if (!claim.taken_over.empty()) {
      for (const DeadClaim& dead : claim.taken_over) {
        Attempt attempt = NewAttempt(trial);
        attempt.started_ns = dead.claimed_ns;
        attempt.finished_ns = std::max(dead.claimed_ns, dead.heartbeat_ns);
        attempt.duration_ns = attempt.finished_ns - attempt.started_ns;
        attempt.outcome = Outcome::kLost;
        attempt.message = "the sweep that ran it is gone";
        attempt.host = dead.owner.host;
        attempt.pid = dead.owner.pid;
        EAQ_RETURN_IF_ERROR(ledger_.RecordFailure(trial.key, trial.spec, ProvenanceOf(trial), attempt));
      }
      if (options_.retry.count(Outcome::kLost) == 0) {
        ++outcome_.failed_before;
        return absl::OkStatus();
      }
      EAQ_ASSIGN_OR_RETURN(claim, ledger_.Claim({trial.key}, owner_));  // recording gave the claim up
    }
    if (!claim.done.empty()) {
      ++outcome_.done_elsewhere;
      return absl::OkStatus();
    }
    if (!claim.held.empty()) {
      held_.push_back(&trial);
      return absl::OkStatus();
    }
    if (was_held) {  // the other sweep gave it up: did it fail there?
      TrialFilter filter;
      filter.key_prefix = trial.key;
      EAQ_ASSIGN_OR_RETURN(const std::vector<TrialRow> rows, ledger_.ListTrials(filter));
      if (!rows.empty() && StaysFailed(rows[0].status)) {
        ++outcome_.failed_before;
        return ledger_.Release({trial.key}, owner_);
      }
    }
    CrashPoint("after_claim");
    const absl::StatusOr<int64_t> free = FreeBytes(Dirname(options_.ledger));
    if (free.ok() && *free < kMinFreeBytes) {
      return absl::ResourceExhaustedError(absl::StrCat("only ", HumanBytes(*free), " free on the disk of ",
                                                       options_.ledger,
                                                       "; make room (everything finished is saved) and start again"));
    }
    WorkerJob job;
    job.set_key(trial.key);
    *job.mutable_spec() = trial.spec;
    job.set_ledger(options_.ledger);
    job.set_cache_folder(options_.cache_folder);
    // Full precision runs alone and may use the whole machine; results do not depend on the number of threads.
    job.set_threads(trial.spec.has_recipe() ? std::max(1, options_.processors / options_.jobs) : options_.processors);
    job.set_sweep(options_.sweep);
    job.set_command(options_.command ? options_.command(trial.key) : "");
    job.set_log(LogPath(trial));
    for (const auto& [name, text] : plan_.corpora) (*job.mutable_corpora())[name] = text;
    EAQ_ASSIGN_OR_RETURN(const Child child, StartSelf(options_.worker_args, job.SerializeAsString()));
    running_.push_back(std::make_unique<Running>(trial, child, OomKills()));
    return absl::OkStatus();
  }

  std::string LogPath(const PlannedTrial& trial) const {
    return JoinPath(options_.log_folder, absl::StrCat(trial.key.substr(0, 16), ".log"));
  }

  Attempt NewAttempt(const PlannedTrial& trial) const {
    Attempt attempt;
    attempt.trial = trial.key;
    attempt.sweep = options_.sweep;
    attempt.command = options_.command ? options_.command(trial.key) : "";
    attempt.log = LogPath(trial);
    attempt.host = owner_.host;
    return attempt;
  }

  Provenance ProvenanceOf(const PlannedTrial& trial) const {
    Provenance provenance = CollectProvenance();
    provenance.model_hash = trial.spec.model().hash();
    provenance.corpora = plan_.corpora;
    return provenance;
  }

  void Wait() {
    std::vector<pollfd> fds;
    for (const auto& running : running_) {
      fds.push_back({running->child.messages, POLLIN, 0});
      fds.push_back({running->child.output, POLLIN, 0});
    }
    // A child that has closed a stream makes poll return at once; the short sleep keeps that from spinning.
    const int ready = poll(fds.data(), fds.size(), 50);
    bool data = false;
    for (const pollfd& fd : fds) data = data || (fd.revents & POLLIN) != 0;
    if (ready > 0 && !data) poll(nullptr, 0, 5);
  }

  absl::Status Collect() {
    for (size_t i = 0; i < running_.size();) {
      Running& running = *running_[i];
      running.Read();
      running.view.seconds = SecondsSince(running.start);
      if (options_.timeout > 0 && running.view.seconds > options_.timeout && !running.terminated) {
        running.timed_out = true;
        running.Terminate();
      }
      if (running.terminated && !running.killed && SecondsSince(running.terminated_at) > kTermToKill) running.Kill();
      int status = 0;
      if (waitpid(running.child.pid, &status, WNOHANG) != running.child.pid) {
        ++i;
        continue;
      }
      running.Read();
      close(running.child.messages);
      close(running.child.output);
      const std::unique_ptr<Running> ended = std::move(running_[i]);
      running_.erase(running_.begin() + i);
      EAQ_RETURN_IF_ERROR(Ended(*ended, status));
    }
    return absl::OkStatus();
  }

  absl::Status Ended(const Running& running, int status) {
    const PlannedTrial& trial = running.trial;
    CrashPoint("after_trial");
    EAQ_ASSIGN_OR_RETURN(const std::set<std::string> done, ledger_.Done({trial.key}));
    if (!done.empty()) {  // whatever the worker did afterwards, the result is in the ledger
      ++outcome_.ran;
      auto& [sum, n] = history_[trial.spec.recipe().name() + "/" + trial.spec.scheme().name()];
      sum += running.view.seconds;
      ++n;
      view_.Event(absl::StrCat("done ", running.view.trial, " in ", HumanSeconds(running.view.seconds), " (",
                               outcome_.done_before + outcome_.ran + outcome_.done_elsewhere, " of ",
                               plan_.trials.size(), ")"));
      return absl::OkStatus();
    }
    Attempt attempt = NewAttempt(trial);
    attempt.started_ns = running.started_ns;
    attempt.finished_ns = absl::GetCurrentTimeNanos();
    attempt.duration_ns = static_cast<int64_t>(SecondsSince(running.start) * 1e9);
    attempt.pid = running.child.pid;
    const int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    attempt.exit_code = number > 0 ? 128 + number : WEXITSTATUS(status);
    const bool oom_kill = number == SIGKILL && !running.killed && OomKills() > running.oom_kills;
    attempt.outcome = running.timed_out                                   ? Outcome::kTimeout
                      : running.terminated || running.killed              ? Outcome::kInterrupted
                      : oom_kill || attempt.exit_code == kExitOutOfMemory ? Outcome::kOom
                      : number == SIGKILL                                 ? Outcome::kLost
                                                                          : Outcome::kFailed;
    attempt.message = running.error;
    if (running.timed_out) {
      attempt.message = absl::StrCat("ran longer than --timeout=", options_.timeout, " s");
    } else if (attempt.outcome == Outcome::kInterrupted) {
      attempt.message = "stopped on request";
    } else if (number > 0) {
      attempt.message =
          absl::StrCat("killed by signal ", number, " (", strsignal(number), ")", oom_kill ? ": out of memory" : "");
    } else if (attempt.exit_code == 0) {
      attempt.message = "the worker ended with exit code 0 and left no result";
    } else if (attempt.message.empty()) {
      attempt.message = absl::StrCat("the worker ended with exit code ", attempt.exit_code);
    }
    if (MakeDirectories(options_.log_folder).ok()) {
      WriteFileAtomic(attempt.log,
                      absl::StrCat(running.log, "\n", OutcomeName(attempt.outcome), ": ", attempt.message, "\n"))
          .IgnoreError();
    }
    EAQ_RETURN_IF_ERROR(ledger_.RecordFailure(trial.key, trial.spec, ProvenanceOf(trial), attempt));
    if (attempt.outcome == Outcome::kInterrupted) {
      ++parked_;
      return absl::OkStatus();
    }
    ++outcome_.failed;
    view_.Important(absl::StrCat(OutcomeName(attempt.outcome), " ", running.view.trial, ": ", attempt.message,
                                 "\n  log: ", attempt.log, "\n  again: ", attempt.command));
    if (options_.fail_fast) {
      stopping_ = true;
      for (auto& other : running_) other->Terminate();
    }
    return absl::OkStatus();
  }

  void Signals() {
    const int seen = g_signals;
    if (seen == 0) return;
    if (!stopping_ || !told_stop_) {
      stopping_ = told_stop_ = true;
      signalled_at_ = Clock::now();
      view_.Important(absl::StrCat("stopping: ", running_.size(), " running trials get ", options_.grace,
                                   " s to finish; once more to stop now"));
    }
    if (seen > 1) {
      for (auto& running : running_) running->Kill();
    } else if (SecondsSince(signalled_at_) > options_.grace) {
      for (auto& running : running_) running->Terminate();
    }
  }

  SweepView View() const {
    SweepView view;
    view.done = outcome_.done_before + outcome_.ran + outcome_.done_elsewhere;
    view.failed = outcome_.failed + outcome_.failed_before;
    view.left = pending_.size() + held_.size() + running_.size();
    double sum = 0, seconds = 0;
    int64_t n = 0;
    for (const auto& [shape, history] : history_) {
      sum += history.first;
      n += history.second;
    }
    const auto expect = [&](const PlannedTrial& trial) {
      const auto it = history_.find(trial.spec.recipe().name() + "/" + trial.spec.scheme().name());
      return it != history_.end() ? it->second.first / it->second.second : sum / n;
    };
    for (const auto& running : running_) view.workers.push_back(running->view);
    if (n > 0) {
      for (const PlannedTrial* trial : pending_) seconds += expect(*trial);
      for (const auto& running : running_) seconds += std::max(0.0, expect(running->trial) - running->view.seconds);
      view.seconds_left = seconds / options_.jobs;
    }
    return view;
  }

  const SweepPlan& plan_;
  Ledger& ledger_;
  const CoordinatorOptions& options_;
  ProgressView& view_;
  const Owner owner_;
  SweepOutcome outcome_;
  std::deque<const PlannedTrial*> pending_, held_;
  std::vector<std::unique_ptr<Running>> running_;
  std::map<std::string, std::pair<double, int64_t>> history_;  // recipe/scheme -> seconds, how many
  int64_t parked_ = 0;
  bool stopping_ = false, told_stop_ = false, told_held_ = false;
  Clock::time_point signalled_at_;
};

}  // namespace

absl::StatusOr<SweepOutcome> RunTrials(const SweepPlan& plan, Ledger& ledger, const CoordinatorOptions& options,
                                       ProgressView& view) {
  g_signals = 0;
  struct sigaction action = {}, old_int = {}, old_term = {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, &old_int);
  sigaction(SIGTERM, &action, &old_term);
  absl::StatusOr<SweepOutcome> outcome = Coordinator(plan, ledger, options, view).Run();
  sigaction(SIGINT, &old_int, nullptr);
  sigaction(SIGTERM, &old_term, nullptr);
  return outcome;
}

}  // namespace eaq

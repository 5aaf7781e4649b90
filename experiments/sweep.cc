#include "experiments/sweep.h"

#include <google/protobuf/text_format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "experiments/coordinator.h"
#include "experiments/final_report.h"
#include "experiments/options.h"

namespace eaq {
namespace {

constexpr int kExitFailed = 1, kExitUsage = 2, kExitEnvironment = 3;

void Say(absl::string_view text) { std::fprintf(stderr, "%s\n", std::string(text).c_str()); }
int Fail(const absl::Status& status, int code) {
  Say(absl::StrCat("sweep: ", status.message()));
  return code;
}
void Out(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

bool UseColor(const std::string& choice) {
  if (choice != "auto") return choice == "always";
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && (no_color == nullptr || *no_color == '\0') && term != nullptr &&
         std::strcmp(term, "dumb") != 0;
}

int Width() {
  if (!isatty(STDOUT_FILENO)) return 0;
  winsize size;
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

class Sweep {
 public:
  Sweep(SweepOptions options, const SweepParts& parts) : options_(std::move(options)), parts_(parts) {
    const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
    const std::string home =
        workspace != nullptr && *workspace != '\0' ? JoinPath(workspace, "out") : ResolveUserPath("out");
    out_ = options_.out.empty() ? home : ResolveUserPath(options_.out);
    ledger_ = options_.ledger.empty() ? JoinPath(home, "ledger.db") : ResolveUserPath(options_.ledger);
    cache_ = JoinPath(out_, ".cache");
  }

  int Run() {
    std::vector<std::string> paths;
    for (const std::string& spec : options_.specs) paths.push_back(ResolveUserPath(spec));
    if (paths.empty()) {
      const auto path = FindInRepository("experiments/specs/default.textproto");
      if (!path.ok()) return Fail(path.status(), kExitUsage);
      paths.push_back(*path);
    }
    int worst = 0;
    for (size_t i = 0; i < paths.size(); ++i) {
      const int code = RunSpec(paths[i], options_.specs.empty() ? "" : options_.specs[i]);
      if (code > kExitFailed) return code;
      worst = std::max(worst, code);
    }
    return worst;
  }

 private:
  int RunSpec(const std::string& path, const std::string& typed) {
    absl::StatusOr<std::string> text = ReadFile(path);
    if (!text.ok()) return Fail(text.status(), kExitUsage);
    const auto spec = LoadSpec(typed.empty() ? path : typed, *std::move(text));
    if (!spec.ok()) return Fail(spec.status(), kExitUsage);
    const Experiment& experiment = (*spec)->experiment;
    absl::StatusOr<Expansion> expansion = Expand(**spec, parts_.load_preset);
    if (!expansion.ok()) return Fail(expansion.status(), kExitUsage);
    if (options_.check) MakeTiny(expansion->trials);
    if (options_.backend != "cpu") {
      const absl::Status here = parts_.check_backend(options_.backend);
      if (!here.ok() && !options_.plan) return Fail(here, kExitEnvironment);
      for (TrialSpec& trial : expansion->trials) trial.set_backend(options_.backend);
    }
    auto plan = eaq::Resolve(expansion->trials, parts_.numerics_version, parts_.resolvers(Dirname(path), cache_));
    if (!plan.ok()) return Fail(plan.status(), kExitEnvironment);
    SweepPlan to_run = *plan;
    if (!options_.only.empty()) {
      const auto other = [&](const PlannedTrial& t) {
        return t.key.compare(0, options_.only.size(), options_.only) != 0;
      };
      to_run.trials.erase(std::remove_if(to_run.trials.begin(), to_run.trials.end(), other), to_run.trials.end());
      if (to_run.trials.empty()) {
        return Fail(
            absl::NotFoundError(absl::StrCat("--only=", options_.only, ": no trial of ", path, " has such a key")),
            kExitUsage);
      }
    }
    if (options_.plan) return PrintPlan(to_run);
    if (options_.check) return Check(to_run);

    auto ledger = Ledger::Open(ledger_, Ledger::Mode::kCreate);
    if (!ledger.ok()) return Fail(ledger.status(), LedgerExitCode(ledger.status()));
    CoordinatorOptions run = RunOptionsFor(typed);
    SweepRow row;
    row.started_ns = absl::GetCurrentTimeNanos();
    row.name = experiment.name();
    google::protobuf::TextFormat::PrintToString(experiment, &row.spec_text);
    row.command = Command(typed, "");
    for (const PlannedTrial& trial : plan->trials) row.trials.push_back(trial.key);
    const auto sweep = (*ledger)->RecordSweep(row);
    if (!sweep.ok()) return Fail(sweep.status(), LedgerExitCode(sweep.status()));
    run.sweep = *sweep;
    ProgressView view(ProgressView::Choose(options_.quiet));
    const auto outcome = RunTrials(to_run, **ledger, run, view);
    view.Clear();
    if (!outcome.ok()) {
      const int code = LedgerExitCode(outcome.status());
      return Fail(outcome.status(), code == 0 || code == kExitUsage ? kExitEnvironment : code);
    }
    if (outcome->signal != 0) {
      Say(absl::StrCat("interrupted: ", outcome->done_before + outcome->ran + outcome->done_elsewhere, " of ",
                       to_run.trials.size(), " trials are done and saved; to go on: ", row.command));
      return 128 + outcome->signal;
    }
    FinalReportOptions final;
    final.color = UseColor(options_.color);
    final.width = Width();
    final.timings = options_.timings;
    final.json = options_.format == "json";
    final.folder = JoinPath(out_, "report");
    final.command = row.command;
    const auto report = MakeFinalReport(experiment, *expansion, *plan, **ledger, final);
    if (report.ok()) {
      Out(report->text);
      if (!options_.quiet) {
        for (const std::string& file : report->files) Say(absl::StrCat("report: ", file));
        Say(absl::StrCat("ledger: ", ledger_));
      }
    } else {
      Say(absl::StrCat("sweep: no comparison: ", report.status().message()));
    }
    const int64_t failed = outcome->failed + outcome->failed_before;
    if (failed > 0) {
      Say(absl::StrCat(
          failed, " trials failed",
          outcome->failed_before > 0 ? ", some of them in an earlier run; --retry=all runs them again" : ""));
    }
    if (!report.ok() && failed == 0) return kExitEnvironment;
    return failed > 0 || outcome->left > 0 ? kExitFailed : 0;
  }

  std::string Command(const std::string& typed, const std::string& key) const {
    std::string command = "./bazelw run //experiments:sweep --";
    if (!options_.ledger.empty()) absl::StrAppend(&command, " --ledger=", ledger_);
    if (!options_.out.empty()) absl::StrAppend(&command, " --out=", out_);
    if (options_.backend != "cpu") absl::StrAppend(&command, " --backend=", options_.backend);
    if (!key.empty()) absl::StrAppend(&command, " --retry=all --only=", key.substr(0, 16));
    if (!typed.empty()) absl::StrAppend(&command, " ", ResolveUserPath(typed));
    return command;
  }

  CoordinatorOptions RunOptionsFor(const std::string& typed) const {
    CoordinatorOptions run;
    run.ledger = ledger_;
    run.cache_folder = cache_;
    run.log_folder = JoinPath(out_, "logs");
    run.retry = options_.retry;
    run.processors = AvailableProcessors();
    run.jobs = options_.jobs > 0 ? options_.jobs : run.processors;
    run.fail_fast = options_.fail_fast;
    run.timeout = options_.timeout;
    run.command = [this, typed](const std::string& key) { return Command(typed, key); };
    return run;
  }

  // --check: the same configurations on next to no data.
  static void MakeTiny(std::vector<TrialSpec>& trials) {
    for (TrialSpec& trial : trials) {
      if (trial.has_calibration()) {
        trial.mutable_calibration()->set_windows(
            std::min(trial.calibration().windows(), std::max(2, trial.calibration().domain_size())));
        trial.mutable_calibration()->set_window(std::min(trial.calibration().window(), 32));
        trial.mutable_calibration()->set_seed(0);
      }
      trial.mutable_evaluation()->set_windows(1);
      trial.mutable_evaluation()->set_window(std::min(trial.evaluation().window(), 32));
      for (EvaluationTask& task : *trial.mutable_evaluation()->mutable_task()) task.set_max_items_per_paradigm(1);
    }
  }

  int Check(const SweepPlan& plan) {
    CoordinatorOptions run = RunOptionsFor("");
    run.ledger = JoinPath(cache_, absl::StrCat("check.", getpid(), ".db"));
    run.command = nullptr;
    run.retry = {Outcome::kFailed, Outcome::kOom, Outcome::kTimeout, Outcome::kLost};
    int code = 0;
    {
      auto ledger = Ledger::Open(run.ledger, Ledger::Mode::kCreate);
      if (!ledger.ok()) return Fail(ledger.status(), LedgerExitCode(ledger.status()));
      ProgressView view(ProgressView::Choose(options_.quiet));
      const auto outcome = RunTrials(plan, **ledger, run, view);
      view.Clear();
      if (!outcome.ok()) {
        code = Fail(outcome.status(), kExitEnvironment);
      } else if (outcome->signal != 0) {
        code = 128 + outcome->signal;
      } else {
        code = outcome->failed > 0 || outcome->left > 0 ? kExitFailed : 0;
        Out(absl::StrCat("checked: ", plan.trials.size(), " configurations, ", outcome->failed, " failed\n"));
      }
    }
    for (const char* suffix : {"", "-wal", "-shm"}) RemoveFile(absl::StrCat(run.ledger, suffix)).IgnoreError();
    return code;
  }

  int PrintPlan(const SweepPlan& plan) {
    std::map<std::string, std::string> status;
    std::map<std::string, std::pair<double, int>> history;
    if (FileExists(ledger_)) {
      auto ledger = Ledger::Open(ledger_, Ledger::Mode::kReadOnly);
      if (!ledger.ok()) return Fail(ledger.status(), LedgerExitCode(ledger.status()));
      const auto rows = (*ledger)->ListTrials();
      const auto timings = (*ledger)->Timings();
      if (!rows.ok()) return Fail(rows.status(), LedgerExitCode(rows.status()));
      if (!timings.ok()) return Fail(timings.status(), LedgerExitCode(timings.status()));
      for (const TrialRow& row : *rows) status[row.key] = row.status;
      for (const Timing& timing : *timings) {
        for (const std::string& shape : {timing.recipe + "/" + timing.scheme, std::string("all")}) {
          history[shape].first += timing.seconds;
          ++history[shape].second;
        }
      }
    }
    int64_t done = 0, unknown = 0;
    double seconds = 0;
    std::map<std::string, int> calibrations;
    std::string table;
    Json json = {{"trials", Json::array()}};
    for (const PlannedTrial& trial : plan.trials) {
      const std::string state = status.count(trial.key) > 0 ? status[trial.key] : "to run";
      absl::StrAppend(&table,
                      absl::StrFormat("%s  %-11s  %s\n", trial.key.substr(0, 16), state, TrialLabel(trial.spec)));
      json["trials"].push_back({{"key", trial.key}, {"status", state}, {"label", TrialLabel(trial.spec)}});
      if (trial.spec.has_calibration())
        ++calibrations[trial.spec.calibration().SerializeAsString() +
                       trial.spec.recipe().calibration().SerializeAsString()];
      if (state == "ok") {
        ++done;
        continue;
      }
      auto it = history.find(trial.spec.recipe().name() + "/" + trial.spec.scheme().name());
      if (it == history.end()) it = history.find("all");
      if (it == history.end()) {
        ++unknown;
      } else {
        seconds += it->second.first / it->second.second;
      }
    }
    int64_t shared = 0;
    for (const auto& [data, n] : calibrations) shared += n - 1;
    const int jobs = options_.jobs > 0 ? options_.jobs : AvailableProcessors();
    if (options_.format == "json") {
      json["done"] = done;
      json["duplicates"] = plan.duplicates;
      json["calibration_sets"] = calibrations.size();
      json["seconds_left"] = unknown > 0 ? Json() : Json(seconds / jobs);
      Out(json.dump(2) + "\n");
      return 0;
    }
    absl::StrAppend(&table, plan.trials.size(), " trials, ", done, " done, ", plan.trials.size() - done, " to run",
                    plan.duplicates > 0 ? absl::StrCat(" (", plan.duplicates, " asked for twice)") : "", "\n");
    absl::StrAppend(&table, "shared: ", calibrations.size(), " calibration sets, used again ", shared, " times\n");
    absl::StrAppend(&table, "time left: ",
                    unknown > 0 ? "unknown, the ledger has no history yet"
                                : absl::StrCat("about ", HumanSeconds(seconds / jobs), " with ", jobs, " jobs"),
                    "\n");
    Out(table);
    return 0;
  }

  SweepOptions options_;
  const SweepParts& parts_;
  std::string out_, ledger_, cache_;
};

}  // namespace

int SweepMain(const std::vector<std::string>& args, const SweepParts& parts) {
  if (!args.empty() && args[0] == "--worker") return WorkerMain(parts.run_trial);
  absl::StatusOr<SweepOptions> options = ParseOptions(args);
  if (!options.ok()) {
    Say(absl::StrCat("sweep: ", options.status().message(), "\nsweep --help lists the flags"));
    return kExitUsage;
  }
  if (options->help) {
    Out(HelpText());
    return 0;
  }
  return Sweep(*std::move(options), parts).Run();
}

}  // namespace eaq

#include "experiments/options.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/base/status_macros.h"
#include "experiments/did_you_mean.h"

namespace eaq {
namespace {

struct Flag {
  const char* name;
  const char* value;  // what stands behind "="; nullptr: a switch
};
constexpr Flag kFlags[] = {
    {"help", nullptr},
    {"plan", nullptr},
    {"check", nullptr},
    {"spec", "FILE"},
    {"ledger", "FILE"},
    {"out", "FOLDER"},
    {"retry", "KINDS"},
    {"only", "KEY"},
    {"jobs", "N"},
    {"keep_going", nullptr},
    {"fail_fast", nullptr},
    {"quiet", nullptr},
    {"no_timings", nullptr},
    {"format", "text|json"},
    {"color", "auto|always|never"},
    {"timeout", "SECONDS"},
    {"backend", "cpu|emulation|cuda"},
};

absl::Status ParseRetry(const std::string& value, std::set<Outcome>& kinds) {
  kinds.clear();
  for (absl::string_view kind : absl::StrSplit(value, ',', absl::SkipWhitespace())) {
    if (kind == "none") continue;
    if (kind == "all") {
      kinds.insert({Outcome::kFailed, Outcome::kOom, Outcome::kTimeout, Outcome::kLost});
      continue;
    }
    const absl::StatusOr<Outcome> outcome = ParseOutcome(kind);
    if (!outcome.ok() || *outcome == Outcome::kOk || *outcome == Outcome::kInterrupted) {
      return absl::InvalidArgumentError(
          absl::StrCat("--retry=", value, ": no kind of failure is called \"", kind, "\"",
                       Suggestion(kind, {"failed", "oom", "timeout", "lost", "all", "none"})));
    }
    kinds.insert(*outcome);
  }
  return absl::OkStatus();
}

absl::Status Apply(absl::string_view name, const std::string& value, SweepOptions& options) {
  const auto wrong = [&](absl::string_view expected) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, "=", value, ": expected ", expected));
  };
  if (name == "help") options.help = true;
  if (name == "plan") options.plan = true;
  if (name == "check") options.check = true;
  if (name == "keep_going") options.fail_fast = false;
  if (name == "fail_fast") options.fail_fast = true;
  if (name == "quiet") options.quiet = true;
  if (name == "no_timings") options.timings = false;
  if (name == "spec") options.specs.push_back(value);
  if (name == "ledger") options.ledger = value;
  if (name == "out") options.out = value;
  if (name == "only") options.only = value;
  if (name == "retry") return ParseRetry(value, options.retry);
  if (name == "jobs" && (!absl::SimpleAtoi(value, &options.jobs) || options.jobs < 1 || options.jobs > 1024)) {
    return wrong("a number from 1 to 1024");
  }
  if (name == "timeout" &&
      (!absl::SimpleAtod(value, &options.timeout) || !(options.timeout >= 0) || options.timeout > 1e9)) {
    return wrong("seconds, 0 for none");
  }
  if (name == "format" && value != "text" && value != "json") return wrong("text or json");
  if (name == "format") options.format = value;
  if (name == "backend" && value != "cpu" && value != "emulation" && value != "cuda") {
    return wrong("cpu, emulation or cuda");
  }
  if (name == "backend") options.backend = value;
  if (name == "color" && value != "auto" && value != "always" && value != "never")
    return wrong("auto, always or never");
  if (name == "color") options.color = value;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SweepOptions> ParseOptions(const std::vector<std::string>& args) {
  SweepOptions options;
  bool flags_over = false;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "--" && !flags_over) {
      flags_over = true;
      continue;
    }
    if (flags_over || arg.empty() || arg[0] != '-' || arg == "-") {
      options.specs.emplace_back(arg);
      continue;
    }
    if (arg == "-h") arg = "--help";
    if (!absl::ConsumePrefix(&arg, "--")) absl::ConsumePrefix(&arg, "-");
    const size_t equals = arg.find('=');
    const absl::string_view name = arg.substr(0, equals);
    const Flag* flag = nullptr;
    std::vector<std::string> known;
    for (const Flag& candidate : kFlags) {
      if (name == candidate.name) flag = &candidate;
      known.push_back(absl::StrCat("--", candidate.name));
    }
    if (flag == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown flag --", name, Suggestion(absl::StrCat("--", name), known)));
    }
    if (flag->value == nullptr) {
      if (equals != absl::string_view::npos)
        return absl::InvalidArgumentError(absl::StrCat("--", name, " takes no value"));
      EAQ_RETURN_IF_ERROR(Apply(name, "", options));
    } else if (equals != absl::string_view::npos) {
      EAQ_RETURN_IF_ERROR(Apply(name, std::string(arg.substr(equals + 1)), options));
    } else if (i + 1 < args.size()) {
      EAQ_RETURN_IF_ERROR(Apply(name, args[++i], options));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value: --", name, "=", flag->value));
    }
  }
  return options;
}

std::string HelpText() {
  return R"(sweep: runs what is left of an experiment, then prints the comparison. Starting it again is how one resumes.

  ./bazelw run //experiments:sweep                        the default experiment
  ./bazelw run //experiments:sweep -- SPEC.textproto ...  others (also --spec=FILE)

  --plan               print the trials, what is done and an estimate; run nothing
  --check              read the specs and run one tiny step of every distinct configuration
  --retry=KINDS        which failures to run again: failed,timeout,oom,lost, all, none (default: lost)
  --only=KEY           only the trial whose key starts so
  --jobs=N             trials at a time (default: processors)
  --keep_going         go on after a failure (default)      --fail_fast  stop at the first
  --timeout=SECONDS    per trial (default: none)
  --backend=NAME       what runs the quantized model, and of quantization what it can: cpu (default), emulation (the
                       CUDA kernels on emulated threads: slow, needs no GPU) or cuda (build with --config=gpu). Another
                       backend is another trial: its numbers stand beside the CPU's, never among them
  --ledger=FILE        default: out/ledger.db of the workspace
  --out=FOLDER         report and cache (default: out)
  --format=text|json   of the results on standard output; progress goes to standard error
  --color=auto|always|never     --quiet     --no_timings (tables of two runs then compare byte by byte)

Exit codes: 0 every trial is done; 1 some trial failed; 2 bad usage or bad spec; 3 something is missing here (model,
texts, disk space); 4 the ledger is damaged or of a newer version; 130, 143 interrupted, everything finished is saved.
Where the results are: //experiments:ledger -- --help
)";
}

}  // namespace eaq

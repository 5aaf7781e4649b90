// The command line of //experiments:ledger: looks into the ledger, compares, exports it and keeps it sound.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "experiments/did_you_mean.h"
#include "experiments/ledger_verbs.h"

namespace eaq {

namespace {

// VERIFY is offered by programs that can run a trial.
std::vector<LedgerVerb> MakeVerbs(const VerifyRunner& runner) {
  std::vector<LedgerVerb> verbs = {
      {"ls", "", "lists trials",
       "Filters: --model=NAME --recipe=NAME --scheme=NAME --status=ok|failed|oom|timeout|lost|interrupted.\n"
       "A trial is named by the first digits of its key wherever TRIAL is expected.\n",
       0, 0, LedgerLs},
      {"show", "TRIAL", "everything about one trial",
       "Spec, plan with all that was left at 16 bits, metrics, stages with their hashes, attempts, provenance. "
       "--format=json prints one object.\n",
       1, 1, LedgerShow},
      {"diff", "A B", "what differs between two trials",
       "Spec fields that differ, and every metric of both with its difference B - A.\n"
       "Exit code 0 whether or not they differ.\n",
       2, 2, LedgerDiff},
      {"compare", "[TRIAL...]", "the comparison table",
       "Of the trials named, or of all that pass the filters --model --recipe --scheme; full precision stays.\n"
       "--out=FILE writes a file, its form by its ending: .html .csv .tex .json, anything else is the text table.\n",
       0, 1 << 20, LedgerCompare},
      {"export", "", "every metric of every trial, tidy",
       "CSV with one metric per row (--format=text, the default) or JSON (--format=json); --out=FILE writes a file.\n"
       "Filters as for ls.\n",
       0, 0, LedgerExport},
      {"merge", "SHARD...", "adds other ledgers to this one",
       "A union: any order gives the same ledger, merging twice adds nothing. The shards are only read.\n"
       "Exit code 1 when a trial has two different results: both are kept (ledger doctor names them).\n",
       1, 1 << 20, LedgerMerge},
      {"backup", "FILE", "a compact copy, safe while sweeps run",
       "Never copy a ledger by hand: the newest rows are in its -wal file.\n", 1, 1, LedgerBackup},
      {"doctor", "", "looks for damage, conflicts and dead claims",
       "Integrity, foreign keys, keys and digests recomputed, tables against results. Exit code 1 with findings.\n", 0,
       0, LedgerDoctor},
  };
  if (runner) {
    verbs.push_back({"verify", "TRIAL...|all", "runs trials again and compares every stage's hash",
                     "The cache is not used. Exit code 1 and the first stage that differs when the bits are not the "
                     "same.\n--threads=N: with N threads (default 2; the result must not depend on it).\n",
                     1, 1 << 20, [runner](const LedgerArgs& args) { return LedgerVerify(args, runner); }});
  }
  return verbs;
}

constexpr char kTail[] =
    "\nFlags of every verb:\n"
    "  --ledger=FILE          the ledger (default: out/ledger.db under the workspace)\n"
    "  --format=text|json     what is printed on stdout\n"
    "  --help\n"
    "\nExit codes: 0 ok, 1 a finding (verify, doctor, merge), 2 usage, 3 environment,\n"
    "4 the ledger is damaged, foreign or of a newer version.\n";

std::string Usage(const std::vector<LedgerVerb>& verbs) {
  std::string text = "ledger: trials and their results\n\nUsage: bazel run //experiments:ledger -- VERB [FLAGS]\n\n";
  for (const LedgerVerb& verb : verbs) {
    absl::StrAppend(&text, absl::StrFormat("  %-7s %-13s %s\n", verb.name, verb.arguments, verb.summary));
  }
  return absl::StrCat(text, "\n`ledger VERB --help` says more.\n", kTail);
}

std::string Usage(const LedgerVerb& verb) {
  return absl::StrCat("ledger ", verb.name, *verb.arguments ? " " : "", verb.arguments, ": ", verb.summary, "\n\n",
                      verb.help, kTail);
}

int BadUsage(const std::string& message) {
  std::fprintf(stderr, "ledger: %s\nTry --help.\n", message.c_str());
  return 2;
}

std::string DefaultLedger() {
  const char* root = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return JoinPath(root != nullptr ? root : ResolveUserPath("."), "out/ledger.db");
}

// "--name=value" or "--name value"; sets what it names. Empty message: fine.
std::string SetFlag(const std::string& name, const std::string& value, LedgerArgs& args) {
  if (name == "ledger") {
    args.ledger = ResolveUserPath(value);
    args.ledger_flag = absl::StrCat("--ledger=", args.ledger);
  } else if (name == "format") {
    if (value != "text" && value != "json") return absl::StrCat("--format=", value, ": expected text or json");
    args.json = value == "json";
  } else if (name == "model") {
    args.filter.model = value;
  } else if (name == "recipe") {
    args.filter.recipe = value;
  } else if (name == "scheme") {
    args.filter.scheme = value;
  } else if (name == "status") {
    const auto outcome = ParseOutcome(value);
    if (!outcome.ok()) return std::string(outcome.status().message());
    args.filter.status = value;
  } else if (name == "out") {
    args.out = ResolveUserPath(value);
  } else if (name == "threads") {
    if (!absl::SimpleAtoi(value, &args.threads) || args.threads < 1 || args.threads > 1024) {
      return absl::StrCat("--threads=", value, ": expected a number from 1 to 1024");
    }
  } else {
    return absl::StrCat(
        "unknown flag --", name,
        Suggestion(name, {"ledger", "format", "model", "recipe", "scheme", "status", "out", "threads"}));
  }
  return "";
}

}  // namespace

int LedgerMain(const std::vector<std::string>& words, const VerifyRunner& runner) {
  const std::vector<LedgerVerb> verbs = MakeVerbs(runner);
  LedgerArgs args;
  args.ledger = DefaultLedger();
  std::string verb_name;
  bool help = words.empty();
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--help" || word == "-h" || (word == "help" && verb_name.empty())) {
      help = true;
    } else if (absl::StartsWith(word, "--") && word.size() > 2) {
      const size_t equals = word.find('=');
      const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
      if (equals == std::string::npos && i + 1 >= words.size()) return BadUsage("--" + name + " needs a value");
      const std::string value = equals == std::string::npos ? words[++i] : word.substr(equals + 1);
      const std::string problem = SetFlag(name, value, args);
      if (!problem.empty()) return BadUsage(problem);
    } else if (verb_name.empty()) {
      verb_name = word;
    } else {
      args.arguments.push_back(word);
    }
  }
  std::vector<std::string> names;
  for (const LedgerVerb& verb : verbs) {
    names.push_back(verb.name);
    if (verb_name != verb.name) continue;
    if (help) {
      std::fputs(Usage(verb).c_str(), stdout);
      return 0;
    }
    const int n = static_cast<int>(args.arguments.size());
    if (n < verb.min_arguments || n > verb.max_arguments) {
      return BadUsage(absl::StrCat("ledger ", verb.name, " takes ", *verb.arguments ? verb.arguments : "no arguments",
                                   ", found ", n, n == 1 ? " argument" : " arguments"));
    }
    return verb.run(args);
  }
  if (verb_name.empty()) {
    std::fputs(Usage(verbs).c_str(), help ? stdout : stderr);
    return help ? 0 : 2;
  }
  return BadUsage(absl::StrCat("unknown verb \"", Printable(verb_name), "\"", Suggestion(verb_name, names)));
}

}  // namespace eaq

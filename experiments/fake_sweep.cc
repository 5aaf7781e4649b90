// The sweep with fakes in place of model, texts and trials, for tests of everything around them. What a trial does is
// named by its recipe: ok, slow (FAKE_SLEEP_MS), fail, crash, hang, exit0, memory, noisy.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "experiments/sweep.h"

namespace eaq {
namespace {

absl::StatusOr<TrialResult> FakeTrial(const WorkerJob& job, ProgressSink& progress) {
  const std::string& what = job.spec().recipe().name();
  const char* sleep_ms = std::getenv("FAKE_SLEEP_MS");
  const int steps = 5;
  for (int i = 0; i < steps; ++i) {
    progress.Update("solve", i, steps);
    if (sleep_ms != nullptr) usleep(1000 * std::atoi(sleep_ms) / steps);
  }
  if (what == "fail") return absl::FailedPreconditionError("the matrix is singular");
  if (what == "crash") raise(SIGSEGV);
  if (what == "memory") throw std::bad_alloc();
  if (what == "exit0") _exit(0);
  if (what == "noisy") {
    for (int i = 0; i < 40000; ++i) std::fprintf(stderr, "a line of forty characters and a few more %d\n", i);
    return absl::InternalError("after much noise");
  }
  if (what == "hang") {
    signal(SIGTERM, SIG_IGN);
    for (;;) pause();
  }
  TrialResult result;
  const uint64_t level = Fingerprint("fake").Add(what).Add(job.spec().scheme().weights().bits()).Low64() % 100;
  for (const CorpusRef& domain : job.spec().evaluation().domain()) {
    Series& series = *result.add_series();
    series.set_metric("nll");
    series.set_domain(domain.name());
    double sum = 0;
    for (int w = 0; w < job.spec().evaluation().windows(); ++w) {
      const uint64_t noise = Fingerprint("noise").Add(domain.name()).Add(w).Low64() % 1000;
      const uint64_t own = Fingerprint("own").Add(job.key()).Add(w).Low64() % 1000;
      series.add_value(2.0 + 1e-3 * noise + (job.spec().has_recipe() ? 1e-3 * level + 1e-5 * own : 0));
      series.add_document(absl::StrCat("document ", w / 2));
      sum += series.value(w);
    }
    Metric& metric = *result.add_metric();
    metric.set_name("nll");
    metric.set_domain(domain.name());
    metric.set_value(sum / job.spec().evaluation().windows());
  }
  result.set_wall_seconds(0.01);
  return result;
}

}  // namespace
}  // namespace eaq

int main(int argc, char** argv) {
  eaq::SweepParts parts;
  parts.run_trial = eaq::FakeTrial;
  parts.numerics_version = 1;
  parts.resolvers = [](const std::string&, const std::string&) {
    eaq::Resolvers fake;
    fake.model = [](const std::string& path) -> absl::StatusOr<eaq::ResolvedModel> {
      if (path == "missing") return absl::NotFoundError("model missing: no such folder");
      return eaq::ResolvedModel{"/fake/" + path, eaq::Sha256Hex(path), eaq::Sha256Hex("tokenizer")};
    };
    fake.corpus = [](const eaq::CorpusRef& corpus) -> absl::StatusOr<eaq::ResolvedCorpus> {
      return eaq::ResolvedCorpus{"", eaq::Sha256Hex(corpus.name()), "fake " + corpus.name()};
    };
    fake.task = [](const eaq::EvaluationTask& task) -> absl::StatusOr<eaq::ResolvedCorpus> {
      return eaq::ResolvedCorpus{"", eaq::Sha256Hex(task.name()), "fake " + task.name()};
    };
    return fake;
  };
  return eaq::SweepMain({argv + 1, argv + argc}, parts);
}

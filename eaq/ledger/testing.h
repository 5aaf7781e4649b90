// Trials to test the ledger with.
#ifndef EAQ_LEDGER_TESTING_H_
#define EAQ_LEDGER_TESTING_H_

#include <stdlib.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/ledger/ledger.h"
#include "eaq/ledger/trial_key.h"
#include "gtest/gtest.h"

namespace eaq::testing {

inline TrialSpec MakeSpec(int i) {
  TrialSpec spec;
  spec.mutable_model()->set_name("ref-s");
  spec.mutable_model()->set_hash(Sha256Hex("model"));
  spec.mutable_scheme()->set_name("W4A4");
  spec.mutable_scheme()->mutable_weights()->set_bits(4);
  spec.mutable_recipe()->set_name("gptq");
  spec.mutable_recipe()->mutable_calibration()->mutable_random();
  spec.mutable_recipe()->mutable_solve()->mutable_gptq();
  spec.mutable_calibration()->add_domain()->set_name("code");
  spec.mutable_calibration()->set_seed(i);
  spec.mutable_evaluation()->add_domain()->set_name("code");
  spec.add_corpus_hash(Sha256Hex("corpus"));
  spec.set_numerics_version(1);
  return spec;
}

inline TrialResult MakeResult(int i, double shift = 0) {
  TrialResult result;
  Metric* metric = result.add_metric();
  metric->set_name("nll");
  metric->set_domain("code");
  metric->set_value(3 + i + shift);
  metric = result.add_metric();
  metric->set_name("router_topk_agreement");
  metric->set_domain("code");
  metric->set_layer(2);
  metric->set_value(0.1 * i);
  metric = result.add_metric();
  metric->set_name("broken");
  metric->set_value(std::numeric_limits<double>::quiet_NaN());
  metric = result.add_metric();
  metric->set_name("endless");
  metric->set_value(-std::numeric_limits<double>::infinity());
  Series* series = result.add_series();
  series->set_metric("nll");
  series->set_domain("code");
  for (int w = 0; w < 8; ++w) {
    series->add_value(i + 0.125 * w);
    series->add_document(absl::StrCat("doc", w / 2));
  }
  LinearReport* linear = result.add_linear();
  linear->set_id("L0.up.3");
  linear->set_bits(4);
  linear->set_weight_error(0.01);
  linear->set_stored_bits(1234);
  StageRun* stage = result.add_stage();
  stage->set_stage("profile");
  stage->set_hash(Sha256Hex("profile"));
  stage->set_seconds(1.5);
  stage->set_from_cache(i % 2 == 1);
  TrialResult::ExpertUse* use = result.add_expert_use();
  use->set_domain("code");
  use->set_layer(0);
  use->add_share(0.25);
  use->add_share(0.75);
  result.set_wall_seconds(2.5 + i);
  result.set_peak_memory_bytes(1 << 20);
  result.set_threads(2);
  return result;
}

inline Attempt MakeAttempt(int i) {
  Attempt attempt;
  attempt.started_ns = 1'700'000'000'000'000'000 + i * 1'000'000'000LL;
  attempt.finished_ns = attempt.started_ns + 500'000'000;
  attempt.duration_ns = 500'000'000;
  attempt.command = absl::StrCat("sweep --only=", i);
  attempt.host = "host";
  attempt.pid = 100 + i;
  return attempt;
}

inline Provenance MakeProvenance() {
  Provenance p;
  p.commit = std::string(40, 'a');
  p.dirty = "clean";
  p.host = "host";
  p.cores = 2;
  p.corpora = {{"code", "python3.11-doc 3.11.2 abc"}};
  return p;
}

inline absl::StatusOr<bool> RecordTrial(Ledger& ledger, int i, double shift = 0, int attempt = -1) {
  const TrialSpec spec = MakeSpec(i);
  return ledger.RecordResult(TrialKey(spec), spec, MakeResult(i, shift), MakeProvenance(),
                             MakeAttempt(attempt < 0 ? i : attempt));
}

// A new empty folder.
inline std::string NewFolder() {
  std::string pattern = ::testing::TempDir() + "/ledger_XXXXXX";
  EXPECT_NE(mkdtemp(pattern.data()), nullptr);
  return pattern;
}

}  // namespace eaq::testing

#endif  // EAQ_LEDGER_TESTING_H_

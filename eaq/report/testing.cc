#include "eaq/report/testing.h"

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/hash.h"
#include "eaq/base/rng.h"
#include "eaq/proto/add_metric.h"

namespace eaq::report_internal {
namespace {

const char* const kDomains[] = {"encyclopedia", "code", "manual", "espanol", "handbook"};
const char* const kMethods[] = {"RTN", "RTN+clip", "SmoothQuant", "GPTQ", "Hybrid"};
const char* const kSchemes[] = {"W8A8", "W4A4", "W3A4", "W2A16g32"};
constexpr double kLoss[] = {0.001, 0.06, 0.16, 0.55};  // of RTN, nats per token
constexpr double kBits[] = {8.33, 4.29, 3.27, 3.0};

void AddSeries(TrialResult& r, const char* metric, const SyntheticOptions& o, int domain, double loss, Rng& rng) {
  // The difficulty of a window is the same for every trial; only the loss added by quantization differs.
  Rng text(7, absl::StrCat("synthetic/text/", domain));
  Series& s = *r.add_series();
  s.set_metric(metric);
  s.set_domain(kDomains[domain]);
  for (int w = 0; w < o.windows; ++w) {
    const double difficulty = 3.2 + 0.2 * domain + 0.3 * text.Normal();
    s.add_value(difficulty + loss * (1 + 0.5 * text.Normal()) + 0.003 * rng.Normal());
    s.add_document(absl::StrCat(kDomains[domain], "-", w / o.windows_per_document));
  }
}

TrialSpec BaseSpec(const SyntheticOptions& o) {
  TrialSpec spec;
  spec.mutable_model()->set_name("ref-s");
  spec.mutable_model()->set_hash(Sha256Hex("model"));
  spec.mutable_evaluation()->set_windows(o.windows);
  spec.mutable_evaluation()->set_window(256);
  for (int d = 0; d < o.domains; ++d) {
    spec.mutable_evaluation()->add_domain()->set_name(kDomains[d]);
    spec.add_corpus_hash(Sha256Hex(kDomains[d]));
  }
  return spec;
}

// What the scheme of TRIAL costs of the accuracy of a task.
double AccuracyLost(const ReportTrial& trial) {
  static const auto* const loss = new std::map<int, double>{{8, 0.0}, {4, 0.02}, {3, 0.05}, {2, 0.12}};  // by bits
  return trial.spec.has_scheme() ? loss->at(trial.spec.scheme().weights().bits()) : 0;
}

Series& AddCorrect(const std::string& task, ReportTrial& trial) {
  Series& series = *trial.result.add_series();
  series.set_metric("correct");
  series.set_domain(task);
  return series;
}

}  // namespace

ReportInputs SyntheticInputs(const SyntheticOptions& o) {
  ReportInputs in;
  in.title = "Methods against schemes on ref-s";
  in.provenance.commit = "0123456789abcdef0123456789abcdef01234567";
  in.provenance.dirty = "clean";
  in.provenance.ledger = "results/ledger.sqlite";
  in.provenance.command = "./bazelw run //experiments:sweep";
  in.provenance.host = "workbench";
  const auto add = [&](int scheme, int method, int seed) {
    ReportTrial t;
    t.spec = BaseSpec(o);
    double loss = 0;
    if (scheme >= 0) {
      t.spec.mutable_scheme()->set_name(kSchemes[scheme]);
      t.spec.mutable_scheme()->mutable_weights()->set_bits(std::vector<int>{8, 4, 3, 2}[scheme]);
      t.spec.mutable_recipe()->set_name(kMethods[method]);
      if (method == 0) {
        t.spec.mutable_recipe()->mutable_calibration()->mutable_none();
      } else {
        t.spec.mutable_recipe()->mutable_calibration()->mutable_random();
        t.spec.mutable_recipe()->add_transform()->mutable_smoothquant()->set_alpha(0.1 * method);
        t.spec.mutable_calibration()->set_seed(seed);
        for (int d = 0; d < o.domains; ++d) t.spec.mutable_calibration()->add_domain()->set_name(kDomains[d]);
      }
      loss = kLoss[scheme] * std::pow(0.75, method);
    }
    t.key = Sha256Hex(absl::StrCat("trial ", scheme, " ", method, " ", seed));
    Rng rng(static_cast<uint64_t>(100 * scheme + 10 * method + seed + 1000), "synthetic/trial");
    TrialResult& r = t.result;
    r.set_wall_seconds(4 + 3 * method);
    const double luck = 1 + 0.03 * rng.Normal();
    for (int d = 0; d < o.domains; ++d) {
      AddSeries(r, "nll", o, d, loss * luck * (1 + 0.2 * d), rng);
      if (scheme < 0) continue;
      AddMetric("kl", kDomains[d], loss * 0.9, r);
      AddMetric("greedy_agreement", kDomains[d], 1 - loss / 2, r);
      for (int l = 0; l < o.layers; ++l) {
        AddMetric("router_topk_agreement", kDomains[d], 1 - loss * (l + 1) / 6, r, l);
        AddMetric("router_top1_change", kDomains[d], loss * (l + 1) / 7, r, l);
        AddMetric("router_kl", kDomains[d], loss * (l + 1) / 9, r, l);
      }
    }
    AddMetric("bits_per_weight", "", scheme < 0 ? 16 : kBits[scheme], r);
    AddMetric("stored_bytes", "", (scheme < 0 ? 16 : kBits[scheme]) * 2.5e6 / 8, r);
    for (int l = 0; l < o.layers; ++l) {
      for (int d = 0; scheme < 0 && d < o.domains; ++d) {
        TrialResult::ExpertUse& use = *r.add_expert_use();
        use.set_domain(kDomains[d]);
        use.set_layer(l);
        for (int e = 0; e < o.experts; ++e) use.add_share(std::abs(rng.Normal()) / o.experts);
      }
      if (scheme < 0) continue;
      const auto linear = [&](const std::string& id, double tokens) {
        LinearReport& report = *r.add_linear();
        report.set_id(id);
        report.set_bits(4);
        report.set_calibration_tokens(static_cast<int64_t>(tokens));
        report.set_weight_error(0.01 * std::exp(0.3 * rng.Normal()));
        report.set_output_error(0.1 * loss * std::exp(0.5 * rng.Normal()));
      };
      for (const char* role : {"q", "k", "v", "o"}) linear(absl::StrCat("L", l, ".", role), 16384);
      for (int e = 0; e < o.experts; ++e) {
        const double tokens = method == 0 ? 0 : 1024 * (1 + (l * e) % 5);
        for (const char* role : {"gate", "up", "down"}) linear(absl::StrCat("L", l, ".e", e, ".", role), tokens);
      }
    }
    in.trials.push_back(std::move(t));
  };
  add(-1, 0, 0);
  for (int s = 0; s < o.schemes; ++s) {
    for (int m = 0; m < o.methods; ++m) {
      for (int seed = 0; seed < (m == 0 ? 1 : o.seeds); ++seed) add(s, m, seed);
    }
  }
  return in;
}

void AddSyntheticTask(const std::string& name, double full_accuracy, ReportInputs& in) {
  constexpr int kParadigms = 30, kPairs = 40;
  for (ReportTrial& trial : in.trials) {
    EvaluationTask& task = *trial.spec.mutable_evaluation()->add_task();
    task.set_name(name);
    task.set_hash(Sha256Hex(name));
    Series& series = AddCorrect(name, trial);
    // A pair's difficulty is the same for every trial.
    Rng rng(7, absl::StrCat("synthetic/task/", name));
    double right[3] = {}, all = 0;
    for (int p = 0; p < kParadigms; ++p) {
      for (int i = 0; i < kPairs; ++i) {
        const bool correct = rng.Uniform() < full_accuracy - AccuracyLost(trial);
        series.add_value(correct ? 1 : 0);
        series.add_document(absl::StrCat("paradigm_", p));
        right[p % 3] += correct;
        all += correct;
      }
    }
    AddMetric("accuracy", name, all / (kParadigms * kPairs), trial.result);
    for (int f = 0; f < 3; ++f) {
      AddMetric("accuracy_of_phenomenon", absl::StrCat(name, "/phenomenon_", f), right[f] / (kParadigms * kPairs / 3),
                trial.result);
    }
  }
}

void AddSyntheticChoices(const std::string& name, double full_accuracy, double constant, ReportInputs& in) {
  constexpr int kItems = 400;
  for (ReportTrial& trial : in.trials) {
    EvaluationTask& task = *trial.spec.mutable_evaluation()->add_task();
    task.set_name(name);
    task.set_hash(Sha256Hex(name));
    task.mutable_multiple_choice()->set_context_end("Answer:");
    Series& series = AddCorrect(name, trial);
    Rng rng(8, absl::StrCat("synthetic/choices/", name));
    double all = 0;
    for (int i = 0; i < kItems; ++i) {
      const bool correct = rng.Uniform() < full_accuracy - AccuracyLost(trial);
      series.add_value(correct ? 1 : 0);
      series.add_document(absl::StrCat("file/", i));
      all += correct;
    }
    AddMetric("accuracy", name, all / kItems, trial.result);
    AddMetric("accuracy_norm", name, all / kItems + 0.05, trial.result);
    AddMetric("chance", name, 0.25, trial.result);
    AddMetric("constant", name, constant, trial.result);
  }
}

}  // namespace eaq::report_internal

// The metrics against a plain reading of their definitions.
#include "eaq/eval/evaluate.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kTokens = 14;

std::vector<EvaluationDomain> Domains() {
  Rng rng(8, "evaluate_test");
  std::vector<EvaluationDomain> domains = {{"prose", {}}, {"code", {}}};
  for (EvaluationDomain& domain : domains) {
    for (int w = 0; w < 3; ++w) {
      Window window;
      window.document = absl::StrCat(domain.name, "/", w / 2);
      for (int64_t t = 0; t < kTokens; ++t) window.ids.push_back(static_cast<int32_t>(rng.Below(96)));
      domain.windows.push_back(window);
    }
  }
  return domains;
}

ModelTrace TraceOf(const Model& model, const std::vector<EvaluationDomain>& domains) {
  ThreadPool pool(1);
  Tracer tracer(model.ends(), WindowIds(domains), pool);
  for (int l = 0; l < model.config().num_layers; ++l) tracer.Advance(l, model.layer(l), pool);
  return tracer.Finish();
}

const Metric* Find(const TrialResult& result, const std::string& name, const std::string& domain, int layer = -1) {
  for (const Metric& m : result.metric()) {
    if (m.name() == name && m.domain() == domain && (layer < 0 || m.layer() == layer)) return &m;
  }
  return nullptr;
}

// log softmax of a row, in double, the slow way.
std::vector<double> LogSoftmax(const float* row, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(double{row[i]});
  std::vector<double> result(n);
  for (int64_t i = 0; i < n; ++i) result[i] = row[i] - std::log(sum);
  return result;
}

TEST(Evaluate, IsWhatTheDefinitionsSay) {
  // Two models that differ in their weights; the ends are the first one's, as after quantization.
  const auto full = *Model::Load(*RandomModel(TinyConfig(), 1)), other = *Model::Load(*RandomModel(TinyConfig(), 2));
  const auto domains = Domains();
  const ModelTrace a = TraceOf(*full, domains);
  ThreadPool pool(2);
  Tracer tracer(full->ends(), WindowIds(domains), pool);
  for (int l = 0; l < 2; ++l) tracer.Advance(l, other->layer(l), pool);
  const ModelTrace b = tracer.Finish();
  NullProgress progress;
  TrialResult result;
  ASSERT_THAT(Evaluate(full->ends(), domains, a, &b, pool, progress, result), IsOk());

  const int64_t vocab = 96;
  size_t first = 0;
  for (const EvaluationDomain& domain : domains) {
    double nll_sum = 0, kl_sum = 0, agree_sum = 0;
    for (int w = 0; w < 3; ++w) {
      Matrix p(kTokens, vocab), q(kTokens, vocab);
      full->ends().Logits(a.hidden[first + w].view(), p.view());
      full->ends().Logits(b.hidden[first + w].view(), q.view());
      double nll = 0, kl = 0, agree = 0;
      for (int64_t t = 0; t + 1 < kTokens; ++t) {
        const auto lp = LogSoftmax(p.row(t), vocab), lq = LogSoftmax(q.row(t), vocab);
        nll -= lq[domain.windows[w].ids[t + 1]];
        for (int64_t v = 0; v < vocab; ++v) kl += std::exp(lp[v]) * (lp[v] - lq[v]);
        agree +=
            std::max_element(lp.begin(), lp.end()) - lp.begin() == std::max_element(lq.begin(), lq.end()) - lq.begin();
      }
      nll_sum += nll / (kTokens - 1) / 3;
      kl_sum += kl / (kTokens - 1) / 3;
      agree_sum += agree / (kTokens - 1) / 3;
      for (const Series& s : result.series()) {
        if (s.domain() != domain.name) continue;
        ASSERT_EQ(s.value_size(), 3);
        EXPECT_EQ(s.document(w), domain.windows[w].document);
        const double expected = (s.metric() == "nll" ? nll : s.metric() == "kl" ? kl : agree) / (kTokens - 1);
        EXPECT_NEAR(s.value(w), expected, 1e-9) << s.metric();
      }
    }
    EXPECT_NEAR(Find(result, "nll", domain.name)->value(), nll_sum, 1e-9);
    EXPECT_NEAR(Find(result, "perplexity", domain.name)->value(), std::exp(nll_sum), 1e-6);
    EXPECT_NEAR(Find(result, "kl", domain.name)->value(), kl_sum, 1e-9);
    EXPECT_NEAR(Find(result, "greedy_agreement", domain.name)->value(), agree_sum, 1e-12);
    for (int l = 0; l < 2; ++l) {
      double common = 0, changed = 0, kl = 0;
      for (int w = 0; w < 3; ++w) {
        for (int64_t t = 0; t < kTokens; ++t) {
          std::vector<double> p, q;
          double p_sum = 0, q_sum = 0;
          for (int64_t e = 0; e < 8; ++e) {
            p.push_back(std::exp(double{a.router_logits.at(l)[first + w](t, e)}));
            q.push_back(std::exp(double{b.router_logits.at(l)[first + w](t, e)}));
            p_sum += p.back(), q_sum += q.back();
          }
          for (int64_t e = 0; e < 8; ++e) kl += p[e] / p_sum * std::log(p[e] / p_sum / (q[e] / q_sum));
        }
        const auto &x = a.experts.at(l)[first + w], &y = b.experts.at(l)[first + w];
        for (int64_t t = 0; t < kTokens; ++t) {
          changed += x[2 * t] != y[2 * t];
          for (int i : {0, 1})
            for (int j : {0, 1}) common += x[2 * t + i] == y[2 * t + j];
        }
      }
      EXPECT_NEAR(Find(result, "router_topk_agreement", domain.name, l)->value(), common / (3 * kTokens * 2), 1e-12);
      EXPECT_NEAR(Find(result, "router_top1_change", domain.name, l)->value(), changed / (3 * kTokens), 1e-12);
      EXPECT_NEAR(Find(result, "router_kl", domain.name, l)->value(), kl / (3 * kTokens), 1e-9);
    }
    first += 3;
  }
  ASSERT_EQ(result.expert_use_size(), 4);
  double sum = 0;
  for (const double share : result.expert_use(0).share()) sum += share;
  EXPECT_NEAR(sum, 1, 1e-12);
}

TEST(Evaluate, AModelAgreesWithItself) {
  const auto full = *Model::Load(*RandomModel(TinyConfig(), 1));
  const auto domains = Domains();
  const ModelTrace trace = TraceOf(*full, domains);
  ThreadPool pool(1);
  NullProgress progress;
  TrialResult alone, twice;
  ASSERT_THAT(Evaluate(full->ends(), domains, trace, nullptr, pool, progress, alone), IsOk());
  ASSERT_THAT(Evaluate(full->ends(), domains, trace, &trace, pool, progress, twice), IsOk());
  EXPECT_EQ(Find(twice, "top5_agreement", "prose"), nullptr);
  TrialResult top;
  ASSERT_THAT(Evaluate(full->ends(), domains, trace, &trace, pool, progress, top, {.top_k = 5}), IsOk());
  EXPECT_EQ(Find(top, "top5_agreement", "prose")->value(), 1);
  EXPECT_EQ(top.series_size(), twice.series_size() + 2);
  EXPECT_EQ(Find(alone, "kl", "code"), nullptr);
  EXPECT_EQ(Find(alone, "nll", "code")->value(), Find(twice, "nll", "code")->value());
  EXPECT_EQ(Find(twice, "kl", "code")->value(), 0);
  EXPECT_EQ(Find(twice, "greedy_agreement", "code")->value(), 1);
  EXPECT_EQ(Find(twice, "router_topk_agreement", "prose", 1)->value(), 1);
  EXPECT_EQ(Find(twice, "router_top1_change", "prose", 1)->value(), 0);
  EXPECT_EQ(Find(twice, "router_kl", "prose", 1)->value(), 0);
}

TEST(Evaluate, NaNAndForeignTracesAreRefused) {
  const auto full = *Model::Load(*RandomModel(TinyConfig(), 1));
  const auto domains = Domains();
  const ModelTrace trace = TraceOf(*full, domains);
  ThreadPool pool(1);
  NullProgress progress;
  TrialResult result;
  ModelTrace broken = trace;
  broken.hidden[4](3, 0) = std::nanf("");
  EXPECT_THAT(Evaluate(full->ends(), domains, trace, &broken, pool, progress, result),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("evaluation domain code, window 1")));
  ModelTrace few = trace;
  few.hidden.pop_back();
  EXPECT_THAT(Evaluate(full->ends(), domains, trace, &few, pool, progress, result),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5 windows; expected the 6")));
}

}  // namespace
}  // namespace eaq

// A model that switches, layer by layer in all states, against the same model window by window in one state at a time.
#include "experiments/switched_tracer.h"

#include <map>

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

// Three models: of no data set, of "prose" and of "code". Windows of prose have small tokens, of code large ones, of
// verse any.
struct Fixture {
  Fixture() : ends(config, RandomOuter(config, 1)) {
    for (int s = 0; s < 3; ++s) {
      for (int l = 0; l < config.num_layers; ++l) {
        models[s].push_back(*BuildLayer(config, RandomLayer(config, l, 10 + s)));
      }
    }
    for (const std::string name : {"prose", "code", "verse"}) {
      EvaluationDomain& domain = domains.emplace_back();
      domain.name = name;
      for (int w = 0; w < 7; ++w) domain.windows.push_back({Ids(name), name});
    }
    for (int w = 0; w < 20; ++w) {
      set.push_back(w % 2);
      const std::vector<int32_t> ids = Ids(known[w % 2]);
      counts.push_back(Run(0, ids).second);
    }
    plan.sets = {"prose", "code"};
    plan.known = 2;
  }

  std::vector<int32_t> Ids(const std::string& name) {
    std::vector<int32_t> ids;
    for (int t = 0; t < 24; ++t) {
      ids.push_back(static_cast<int32_t>(name == "prose"  ? rng.Below(12)
                                         : name == "code" ? 84 + rng.Below(12)
                                                          : rng.Below(96)));
    }
    return ids;
  }

  // A window through the whole model in STATE: its last hidden states, and what the experts were chosen.
  std::pair<Matrix, ExpertCounts> Run(int state, const std::vector<int32_t>& ids) const {
    struct Counter : LayerObserver {
      void OnRouter(int layer, ConstMatrixView, absl::Span<const int32_t> experts, absl::Span<const float>) override {
        for (const int32_t e : experts) ++(*counts)[layer * experts_per_layer + e];
      }
      ExpertCounts* counts;
      int64_t experts_per_layer;
    } counter;
    ExpertCounts chosen(config.num_layers * config.num_experts, 0);
    counter.counts = &chosen;
    counter.experts_per_layer = config.num_experts;
    Matrix h(ids.size(), config.hidden_size);
    ends.Embed(ids, h.view());
    for (const auto& layer : models[state]) layer->Forward(h.view(), &counter);
    return {std::move(h), std::move(chosen)};
  }

  // What SwitchedTracer says. BY_RUN: of states that a function runs.
  ModelTrace Trace(const SwitchingOptions& options, int threads, TrialResult& result, bool by_run = false) {
    ThreadPool pool(threads);
    SwitchedTracer tracer(ends, domains, options, known, pool);
    for (int l = 0; l < config.num_layers; ++l) {
      const std::vector<std::shared_ptr<const DecoderLayer>> states = {models[1][l], models[2][l]};
      FinishedLayer layer;
      layer.index = l;
      layer.quantized = models[0][l].get();
      layer.switching = &plan;
      layer.states = states;
      if (!by_run) {
        tracer.Advance(layer, pool);
        continue;
      }
      const auto run = [&](const DecoderLayer& state, MatrixView hidden, absl::Span<const int64_t> lengths,
                           absl::Span<LayerObserver* const> observers) {
        int64_t row = 0;
        for (size_t w = 0; w < lengths.size(); row += lengths[w++]) {
          state.Forward(hidden.Rows(row, lengths[w]), observers[w]);
        }
        EXPECT_EQ(row, hidden.rows);
        return absl::OkStatus();
      };
      EXPECT_THAT(tracer.Advance(layer, run), IsOk());
    }
    EXPECT_EQ(tracer.detects(), options.states && !options.told);
    return *tracer.Finish(tracer.detects() ? absl::MakeConstSpan(counts) : absl::Span<const ExpertCounts>(),
                          tracer.detects() ? absl::MakeConstSpan(set) : absl::Span<const int>(), result);
  }

  const std::vector<std::string> known = {"prose", "code"};
  ModelConfig config = TinyConfig();
  Rng rng{4, "switched_tracer_test"};
  ModelEnds ends;
  std::vector<std::shared_ptr<const DecoderLayer>> models[3];
  std::vector<EvaluationDomain> domains;
  std::vector<ExpertCounts> counts;
  std::vector<int> set;
  SwitchPlan plan;
};

std::map<std::string, double> Values(const TrialResult& result) {
  std::map<std::string, double> values;
  for (const Metric& m : result.metric()) values[m.name() + (m.has_domain() ? " " + m.domain() : "")] = m.value();
  return values;
}

TEST(SwitchedTracer, DetectedStatesAreThoseOfAModelRunWindowByWindow) {
  Fixture f;
  const SwitchingOptions options{true, false, {0.05, 2, 2}};
  TrialResult result, other;
  const ModelTrace trace = f.Trace(options, 1, result);
  EXPECT_EQ(f.Trace(options, 3, other).hidden, trace.hidden);
  EXPECT_EQ(Values(other), Values(result));

  DataSetDetector detector = *DataSetDetector::Create(f.config, f.counts, f.set, 2, options.detector);
  size_t at = 0;
  int switches = 0;
  std::map<std::string, double> values = Values(result);
  for (const EvaluationDomain& domain : f.domains) {
    double right = 0, none = 0, wrong = 0, delay = -1;
    for (size_t w = 0; w < domain.windows.size(); ++w) {
      const int state = detector.state();
      const auto [hidden, chosen] = f.Run(state + 1, domain.windows[w].ids);
      ASSERT_EQ(trace.hidden[at++], hidden) << domain.name << " " << w;
      const bool is_right = state >= 0 && f.known[state] == domain.name;
      if (is_right && delay < 0) delay = static_cast<double>(w);
      right += is_right, none += state < 0, wrong += state >= 0 && !is_right;
      switches += detector.Observe(chosen) != state;
    }
    const double n = static_cast<double>(domain.windows.size());
    EXPECT_DOUBLE_EQ(values["detector_wrong " + domain.name], wrong / n);
    EXPECT_DOUBLE_EQ(values["detector_none " + domain.name], none / n);
    EXPECT_EQ(values.count("detector_right " + domain.name), domain.name == "verse" ? 0u : 1u);
    if (domain.name == "verse") continue;
    EXPECT_DOUBLE_EQ(values["detector_right " + domain.name], right / n);
    EXPECT_DOUBLE_EQ(values["detector_delay " + domain.name], delay < 0 ? n : delay);
  }
  EXPECT_EQ(values["detector_switches"], switches);
  EXPECT_EQ(values["detector_threshold"], detector.threshold());
  EXPECT_GT(switches, 1);  // else nothing was seen
  EXPECT_GT(values["detector_right prose"], 0);
}

TEST(SwitchedTracer, ToldStatesAreTheDomainsOwn) {
  Fixture f;
  TrialResult result;
  const ModelTrace trace = f.Trace({true, true, {}}, 2, result);
  size_t at = 0;
  for (const EvaluationDomain& domain : f.domains) {
    for (const Window& window : domain.windows) {
      EXPECT_EQ(trace.hidden[at++], f.Run(PlaceOf(domain.name, f.plan.sets) + 1, window.ids).first) << domain.name;
    }
  }
  std::map<std::string, double> values = Values(result);
  EXPECT_EQ(values["told_known code"], 1);
  EXPECT_EQ(values["told_known verse"], 0);
}

TEST(SwitchedTracer, AFunctionMayRunTheStates) {
  Fixture f;
  for (const SwitchingOptions& options :
       {SwitchingOptions{true, true, {}}, SwitchingOptions{true, false, {0.05, 2, 2}}, SwitchingOptions{}}) {
    TrialResult result, other;
    const ModelTrace want = f.Trace(options, 1, result), got = f.Trace(options, 1, other, true);
    EXPECT_EQ(got.hidden, want.hidden);
    EXPECT_EQ(got.experts, want.experts);
    EXPECT_EQ(Values(other), Values(result));
  }
}

TEST(SwitchedTracer, WithoutStatesItIsATracer) {
  Fixture f;
  TrialResult result;
  const ModelTrace trace = f.Trace({false, true, {}}, 2, result);
  size_t at = 0;
  for (const EvaluationDomain& domain : f.domains) {
    for (const Window& window : domain.windows) EXPECT_EQ(trace.hidden[at++], f.Run(0, window.ids).first);
  }
  EXPECT_EQ(result.metric_size(), 0);
}

}  // namespace
}  // namespace eaq

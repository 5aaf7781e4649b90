#include "eaq/eval/trace.h"

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::vector<int32_t>> Texts(int64_t count, int64_t tokens, int64_t vocab) {
  Rng rng(4, "trace_test");
  std::vector<std::vector<int32_t>> texts(count, std::vector<int32_t>(tokens));
  for (auto& text : texts)
    for (int32_t& id : text) id = static_cast<int32_t>(rng.Below(vocab));
  return texts;
}

ModelTrace Trace(const Model& model, const std::vector<std::vector<int32_t>>& texts, int threads) {
  ThreadPool pool(threads);
  const std::vector<absl::Span<const int32_t>> windows(texts.begin(), texts.end());
  Tracer tracer(model.ends(), windows, pool);
  for (int l = 0; l < model.config().num_layers; ++l) tracer.Advance(l, model.layer(l), pool);
  return tracer.Finish();
}

// What the whole model says, asked window by window.
class Choices : public LayerObserver {
 public:
  void OnRouter(int layer, ConstMatrixView x, absl::Span<const int32_t> experts, absl::Span<const float>) override {
    chosen[layer].assign(experts.begin(), experts.end());
    logits[layer] = Matrix(x);
  }
  std::map<int, std::vector<uint16_t>> chosen;
  std::map<int, Matrix> logits;
};

TEST(Trace, IsTheModelForAnyNumberOfThreads) {
  const auto model = *Model::Load(*RandomModel(TinyConfig(), 1));
  const auto texts = Texts(3, 12, model->config().vocab_size);
  const ModelTrace one = Trace(*model, texts, 1), three = Trace(*model, texts, 3);
  EXPECT_EQ(one.hidden, three.hidden);
  EXPECT_EQ(one.experts, three.experts);
  EXPECT_EQ(one.router_logits, three.router_logits);
  for (size_t w = 0; w < texts.size(); ++w) {
    Choices choices;
    Matrix hidden(12, model->config().hidden_size);
    model->ForwardHidden(texts[w], hidden.view(), &choices);
    EXPECT_EQ(one.hidden[w], hidden);
    for (int l = 0; l < model->config().num_layers; ++l) {
      EXPECT_EQ(one.experts.at(l)[w], choices.chosen[l]);
      EXPECT_EQ(one.router_logits.at(l)[w], choices.logits[l]);
    }
  }
}

TEST(Trace, ComesBackFromBytesAndNoticesDamage) {
  const auto model = *Model::Load(*RandomModel(TinyConfig(), 1));
  const ModelTrace trace = Trace(*model, Texts(2, 5, model->config().vocab_size), 1);
  const std::string bytes = trace.Serialize();
  EAQ_ASSERT_OK_AND_ASSIGN(const ModelTrace back, ModelTrace::Parse(bytes));
  EXPECT_EQ(back.hidden, trace.hidden);
  EXPECT_EQ(back.experts, trace.experts);
  for (const size_t n : {size_t{0}, size_t{9}, bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_THAT(ModelTrace::Parse(absl::string_view(bytes).substr(0, n)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a model trace")));
  }
  EXPECT_THAT(ModelTrace::Parse(bytes + "x"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bytes")));
}

TEST(Trace, CountsWhatIsDropped) {
  const auto source = RandomModel(TinyConfig(), 1);
  const auto model = *Model::Load(*source);
  const auto texts = Texts(3, 12, model->config().vocab_size);
  EXPECT_EQ(DroppedShare(Trace(*model, texts, 2)), 0);
  std::vector<absl::Span<const int32_t>> windows(texts.begin(), texts.end());
  ThreadPool pool(2);
  Tracer tracer(model->ends(), windows, pool);
  for (int l = 0; l < model->config().num_layers; ++l) {
    LayerParams params = *source->LoadLayer(l);
    // Every second expert but one of each window in the last layer, none in the others.
    const ExpertDrop drop{.ratio = l + 1 == model->config().num_layers ? 1.0f : 0.0f, .protect = 0.1f};
    params.routing = std::make_shared<const RoutingPolicy>(RoutingPolicy{{}, drop});
    tracer.Advance(l, **BuildLayer(model->config(), params), pool);
  }
  const ModelTrace trace = tracer.Finish();
  EXPECT_EQ(trace.dropped.at(0), 0);
  EXPECT_EQ(trace.dropped.rbegin()->second, 3 * 11);
  EXPECT_DOUBLE_EQ(DroppedShare(trace), 33.0 / (3 * 12 * 2 * model->config().num_layers));
  EXPECT_EQ(trace.experts.at(0)[0].size(), 24u);  // what the router chose, dropped or not
}

TEST(Trace, RouterAgreementByHand) {
  // Tokens: same set and order; same set, other order; one in common; none.
  const std::vector<uint16_t> full = {0, 1, 2, 3, 4, 5, 6, 7}, quantized = {0, 1, 3, 2, 4, 0, 1, 2};
  const RouterAgreement r = CompareRouting(full, quantized, 2);
  EXPECT_DOUBLE_EQ(r.topk_agreement, (2 + 2 + 1 + 0) / 8.0);
  EXPECT_DOUBLE_EQ(r.top1_change, 2 / 4.0);
}

TEST(Trace, ExpertUseIsAShare) {
  const std::vector<std::vector<uint16_t>> windows = {{0, 1, 1, 2}, {1, 0, 1, 1}};
  EXPECT_THAT(ExpertUse(windows, 4), ElementsAre(0.25, 0.625, 0.125, 0.0));
}

}  // namespace
}  // namespace eaq

// A model that switches by data set, through the pipeline into the file and back.
#include "eaq/recipe/switching.h"

#include <google/protobuf/text_format.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/packed_file.h"
#include "eaq/quant/quantized_linear.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/walk_testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

TEST(Switching, NamesAreToldApartInTheirOrder) {
  std::vector<int> index;
  EXPECT_EQ(DistinctNames({"b", "a", "b", "c", "a"}, &index), (std::vector<std::string>{"b", "a", "c"}));
  EXPECT_EQ(index, (std::vector<int>{0, 1, 0, 2, 1}));
  SwitchPlan plan;
  plan.sets = {"b", "a"};
  EXPECT_EQ(PlaceOf("a", plan.sets), 1);
  EXPECT_EQ(PlaceOf("c", plan.sets), -1);
}

// A model, its calibration windows and a finished run of the pipeline.
struct Walked {
  Walked() : source(RandomModel(TinyConfig(), 1)), ends(source->config(), *source->LoadOuter()) {
    Rng rng(6, "switching_test");
    for (int w = 0; w < 6; ++w) {
      CalibrationWindow& window = calibration.emplace_back();
      for (int t = 0; t < 40; ++t) window.window.ids.push_back(static_cast<int32_t>(rng.Below(96)));
    }
  }

  absl::Status Go(const Recipe& recipe, const Scheme& scheme, int threads) {
    WalkTools tools(threads);
    const PipelineInputs in = tools.Inputs(*source, ends, recipe, scheme, calibration);
    Matrix x(10, source->config().hidden_size);
    for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(std::sin(double(i)));
    auto result = QuantizeModel(in, [&](const FinishedLayer& layer) {
      for (const auto& [id, linear] : *layer.solved) packed.linears[id.ToString()] = Pack(linear.weight).value();
      if (layer.switching != nullptr) packed.sets = layer.switching->sets;
      for (const auto& [id, cached] : *layer.caches) packed.caches[id.ToString()] = cached;
      states.clear();
      for (const auto& state : layer.states) states.push_back(state->linears());
      layer.quantized->Forward(x.view());
      probe.push_back(x);
      return absl::OkStatus();
    });
    if (!result.ok()) return result.status();
    report = *std::move(result);
    return absl::OkStatus();
  }

  std::shared_ptr<const ModelSource> source;
  ModelEnds ends;
  std::vector<CalibrationWindow> calibration;
  PackedModel packed;
  std::vector<Matrix> probe;                  // made-up hidden states after each quantized layer
  std::vector<DecoderLayer::Linears> states;  // of the last layer, by data set
  PipelineReport report;
};

// A model that switches: its account is the file's in every state, its states are what the file's say, and none of it
// touches the model of no data set.
TEST(Switching, KeepsRowsInTheFileAndTheBaselineAsItIs) {
  Scheme scheme;
  scheme.mutable_weights()->set_bits(3);
  scheme.mutable_activations()->set_bits(4);
  scheme.mutable_weights()->set_granularity(Grid::GROUP);
  scheme.mutable_weights()->set_group_size(16);
  const auto moqa = [](const std::string& switching) {
    Recipe recipe;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("calibration { random {} } solve { gptq {} } router { keep {} } activation { dynamic {} } "
                     "allocate { moqa { ",
                     switching, " } }"),
        &recipe));
    return recipe;
  };
  const auto run = [&](const std::string& switching, Walked& walked) {
    for (size_t w = 0; w < walked.calibration.size(); ++w) walked.calibration[w].domain = w % 3 == 0 ? "prose" : "code";
    return walked.Go(moqa(switching), scheme, 2);
  };
  Walked base, paper, up, always;
  ASSERT_THAT(run("", base), IsOk());
  ASSERT_THAT(run("switching { cache_percent: 10 }", paper), IsOk());
  ASSERT_THAT(run("switching { cache_percent: 10 mode: UP_ONLY }", up), IsOk());
  ASSERT_THAT(run("switching { cache_percent: 10 mode: FP16_ROWS }", always), IsOk());
  EXPECT_EQ(paper.probe, base.probe);
  EXPECT_EQ(up.probe, base.probe);
  EXPECT_NE(always.probe, base.probe);
  EXPECT_EQ(base.packed.caches.size(), 0u);
  EXPECT_EQ(base.report.analyses.expert_table_size(), 0);
  EXPECT_GT(paper.report.analyses.expert_table_size(), 0);
  int moved = 0;
  for (Walked* walked : {&paper, &up, &always}) {
    EXPECT_EQ(walked->packed.sets, (std::vector<std::string>{"prose", "code"}));
    EXPECT_EQ(walked->packed.caches.size(), 2u * 3 * 8);
    int64_t cached = 0, stored = 0;
    for (const auto& [name, cache] : walked->packed.caches) {
      cached += RowCacheBytes(cache);
      EXPECT_EQ(static_cast<int64_t>(cache.rows.size()), (cache.out + 9) / 10);
      for (const int bits : cache.bits_of_set) {
        const int rounded = walked->packed.linears.at(name).grid.bits;
        EXPECT_NE(bits, rounded);
        EXPECT_TRUE(walked != &up || bits == kAsRounded || bits > rounded) << name << " " << bits;
        EXPECT_EQ(bits == kFloat16, walked == &always) << name;
        if (walked == &paper) moved += bits != kAsRounded;
      }
    }
    for (const LinearReport& linear : walked->report.linears) {
      if (linear.bits() < 16) stored += linear.stored_bits();
    }
    EXPECT_EQ(walked->report.size.quantized.cache_bytes, cached);
    EXPECT_EQ(stored, 8 * walked->report.size.quantized.total_bytes());
    const std::string path = JoinPath(::testing::TempDir(), "packed_switching.safetensors");
    for (size_t set = 0; set <= 2; ++set) {
      ASSERT_THAT(walked->packed.SwitchTo(set == 2 ? "" : walked->packed.sets[set]), IsOk());
      ASSERT_THAT(WritePackedModel(path, walked->packed), IsOk());
      EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(walked->report.size.quantized.total_bytes()));
      EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel back, ReadPackedModel(path));
      EXPECT_EQ(back, walked->packed);
      if (set == 2) continue;
      // Layer 1's linears in that state against those of the file.
      for (const auto& [id, linear] : walked->states[set]) {
        const std::string name = id.ToString();
        if (back.caches.count(name) == 0) continue;
        EAQ_ASSERT_OK_AND_ASSIGN(const auto packed, PackedLinear::Create(back.linears.at(name), {},
                                                                         *ActivationQuantizer::Dynamic({.bits = 4}),
                                                                         nullptr, &back.caches.at(name)));
        Matrix x(5, linear->in_features()), a(5, linear->out_features()), b = a;
        for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(std::cos(double(i)));
        linear->Forward(x.const_view(), a.view());
        packed->Forward(x.const_view(), b.view());
        EXPECT_EQ(a, b) << name << " " << set;
      }
    }
  }
  EXPECT_GT(moved, 0);  // else nothing was seen
  Walked single;
  EXPECT_THAT(single.Go(moqa("switching {}"), scheme, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("with 1 calibration domain")));
}

}  // namespace
}  // namespace eaq

// The pipeline against its own definition: every stage called by hand, in order, without cache or threads.
#include "eaq/recipe/pipeline.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/wrappers.pb.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/packed_file.h"
#include "eaq/quant/quantized_linear.h"
#include "eaq/recipe/walk_testing.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// A stage from outside the tree: rounds to nearest and leaves a note. Its options are a message that recipe.proto does
// not know; the pipeline runs it through `external`.
class Noted : public SolveSlot {
 public:
  absl::StatusOr<SolvedLinear> Solve(const LinearId&, ConstMatrixView weight, const InputStatistics&,
                                     const GridSpec& grid, const QuantizeOps&) const override {
    auto q = QuantizeNearest(weight, grid);
    if (!q.ok()) return q.status();
    return SolvedLinear{*std::move(q), "from outside"};
  }
};
EAQ_REGISTER_STAGE(SolveSlot, google::protobuf::BoolValue,
                   [](const google::protobuf::BoolValue&) -> absl::StatusOr<std::unique_ptr<SolveSlot>> {
                     return std::make_unique<Noted>();
                   });

// A transform that leaves work for run time: Hadamard, permutation and rotation of every linear's input in blocks of
// `value`, and Hadamard of queries and keys.
class Spin : public TransformSlot {
 public:
  explicit Spin(int64_t block) : block_(block) {}
  bool needs_profile() const override { return false; }
  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    std::map<LinearId, std::shared_ptr<const OnlineTransform>> shared;
    for (auto& [id, linear] : params.linears) {
      auto& online = shared[LayerProfile::InputOwner(id)];
      if (online == nullptr) {
        Matrix rotation(block_, block_);  // swaps neighbours
        for (int64_t i = 0; i < block_; ++i) rotation(i, i ^ 1) = 1;
        std::vector<int32_t> order(linear.weight.cols());
        for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(order.size() - 1 - i);
        online = std::make_shared<const OnlineTransform>(
            OnlineTransform{{OnlineStep::Hadamard(block_), OnlineStep::Permute(order), OnlineStep::Rotate(rotation)}});
      }
      linear.online = online;
      online->FoldIntoWeight(linear.weight.view());
    }
    params.qk_hadamard = block_;
    return absl::OkStatus();
  }

 private:
  const int64_t block_;
};
EAQ_REGISTER_STAGE(TransformSlot, google::protobuf::Int64Value,
                   [](const google::protobuf::Int64Value& options) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
                     return std::make_unique<Spin>(options.value());
                   });

// Reverses the channels that every linear of the hidden width reads, by one object for all: router and experts share
// it.
class Reverse : public TransformSlot {
 public:
  bool needs_profile() const override { return false; }
  absl::Status Apply(const LayerContext& context, LayerParams& params) const override {
    const int32_t width = static_cast<int32_t>(context.config->hidden_size);
    std::vector<int32_t> order(width);
    for (int32_t i = 0; i < width; ++i) order[i] = width - 1 - i;
    const auto online = std::make_shared<const OnlineTransform>(OnlineTransform{{OnlineStep::Permute(order)}});
    for (auto& [id, linear] : params.linears) {
      if (linear.weight.cols() != width) continue;
      linear.online = online;
      online->FoldIntoWeight(linear.weight.view());
    }
    return absl::OkStatus();
  }
};
EAQ_REGISTER_STAGE(TransformSlot, google::protobuf::BytesValue,
                   [](const google::protobuf::BytesValue&) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
                     return std::make_unique<Reverse>();
                   });

// Leaves the layer as it is, after looking at its inputs; at the other slots as well where `value` is odd.
class Look : public TransformSlot {
 public:
  explicit Look(bool others) : others_(others) {}
  bool needs_hidden() const override { return true; }
  bool runs_other_slots() const override { return others_; }
  absl::Status Apply(const LayerContext&, LayerParams&) const override { return absl::OkStatus(); }

 private:
  const bool others_;
};
EAQ_REGISTER_STAGE(TransformSlot, google::protobuf::UInt64Value,
                   [](const google::protobuf::UInt64Value& options) -> absl::StatusOr<std::unique_ptr<TransformSlot>> {
                     return std::make_unique<Look>(options.value() % 2 == 1);
                   });

// An allocator that looks at what comes into every layer and gives `value` bits to downs, the scheme's to all others.
std::vector<std::vector<double>> surveys_seen;
class Watcher : public AllocateSlot {
 public:
  explicit Watcher(int bits) : bits_(bits) {}
  bool surveys() const override { return true; }
  bool needs_profile() const override { return true; }
  absl::StatusOr<std::vector<double>> Survey(const LayerContext& context, const LayerParams& params) const override {
    std::vector<double> out;
    for (const Matrix& h : context.hidden) out.insert(out.end(), h.data(), h.data() + h.size());
    out.push_back(static_cast<double>(context.profile->Of({params.layer, Role::kQ}).tokens));
    return out;
  }
  absl::StatusOr<BitPlan> Allocate(const AllocationProblem& problem,
                                   const std::vector<std::vector<double>>& surveys) const override {
    surveys_seen = surveys;
    BitPlan plan = PlanOf(problem, {}, {});
    for (auto& [id, grid] : plan) {
      if (id.role == Role::kDown) grid = problem.GridOf(bits_);
    }
    return plan;
  }

 private:
  const int bits_;
};
EAQ_REGISTER_STAGE(AllocateSlot, google::protobuf::UInt32Value,
                   [](const google::protobuf::UInt32Value& options) -> absl::StatusOr<std::unique_ptr<AllocateSlot>> {
                     return std::make_unique<Watcher>(static_cast<int>(options.value()));
                   });

Recipe ParseRecipe(const std::string& text) {
  Recipe recipe;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "name: \"test\" allocate { uniform {} } router { keep {} } activation { dynamic {} }" + text, &recipe));
  return recipe;
}
Recipe Gptq() { return ParseRecipe("calibration { random {} } solve { gptq {} }"); }
Recipe Smooth() {
  return ParseRecipe(
      "calibration { random {} } transform { smoothquant {} } solve { gptq {} } propagate: FULL_PRECISION");
}

Recipe Looking(uint64_t value, double router_clip_ratio) {
  Recipe recipe = ParseRecipe("calibration { random {} } solve { nearest {} } propagate: FULL_PRECISION");
  google::protobuf::UInt64Value options;
  options.set_value(value);
  recipe.add_transform()->mutable_external()->PackFrom(options);
  recipe.mutable_router()->mutable_quantize()->set_fixed_clip_ratio(router_clip_ratio);
  return recipe;
}

Scheme W3A4() {
  Scheme scheme;
  scheme.mutable_weights()->set_bits(3);
  scheme.mutable_activations()->set_bits(4);
  return scheme;
}

// A model, its calibration windows and a finished run of the pipeline.
struct Walked {
  Walked() : source(RandomModel(TinyConfig(), 1)), ends(source->config(), *source->LoadOuter()) {
    Rng rng(6, "pipeline_test");
    for (int w = 0; w < 6; ++w) {
      CalibrationWindow window;
      for (int t = 0; t < 40; ++t) window.window.ids.push_back(static_cast<int32_t>(rng.Below(96)));
      calibration.push_back(window);
    }
  }

  absl::Status Go(const Recipe& recipe, const Scheme& scheme, int threads, const std::string& cache_folder,
                  const QuantizeOps& ops = CpuOps()) {
    WalkTools tools(threads, cache_folder);
    PipelineInputs in = tools.Inputs(*source, ends, recipe, scheme, calibration);
    in.ops = &ops;
    solved.clear();
    packed = {};
    probe.clear();
    Matrix x(10, source->config().hidden_size);
    for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(std::sin(double(i)));
    auto result = QuantizeModel(in, [&](const FinishedLayer& layer) {
      solved.push_back(*layer.solved);
      for (const auto& [id, linear] : *layer.solved) {
        packed.linears[id.ToString()] = Pack(linear.weight).value();
        packed.SetOnline(id.ToString(), layer.params->linears.at(id).online);
      }
      layer.quantized->Forward(x.view());
      probe.push_back(x);
      return absl::OkStatus();
    });
    if (!result.ok()) return result.status();
    report = *std::move(result);
    hits = tools.cache.hits();
    return absl::OkStatus();
  }

  std::shared_ptr<const ModelSource> source;
  ModelEnds ends;
  std::vector<CalibrationWindow> calibration;
  std::vector<SolvedLinears> solved;
  PackedModel packed;
  std::vector<Matrix> probe;  // made-up hidden states after each quantized layer
  PipelineReport report;
  int64_t hits = 0;
};

std::vector<std::string> Hashes(const PipelineReport& report) {
  std::vector<std::string> hashes;
  for (const StageRun& stage : report.stages) hashes.push_back(stage.stage() + " " + stage.hash());
  return hashes;
}

int Quantized(const PipelineReport& report) {
  int count = 0;
  for (const LinearReport& linear : report.linears) count += linear.bits() < 16;
  return count;
}

std::string FreshFolder(const std::string& name) {
  const std::string folder = JoinPath(::testing::TempDir(), name);
  EXPECT_THAT(MakeDirectories(folder), IsOk());
  return folder;
}

// GPTQ by hand: profile with the full layer on what the quantized layers before it gave, solve, go on through the
// quantized layer (or the full one).
TEST(Pipeline, IsItsStagesInOrder) {
  for (const bool full : {false, true}) {
    Recipe recipe = Gptq();
    if (full) recipe.set_propagate(Recipe::FULL_PRECISION);
    Walked run;
    ASSERT_THAT(run.Go(recipe, W3A4(), 2, ""), IsOk());

    ThreadPool one(1);
    const ModelConfig& config = run.source->config();
    const RecipeSlots slots = *RecipeSlots::Make(recipe);
    std::vector<Matrix> hidden;
    for (const CalibrationWindow& w : run.calibration) {
      hidden.emplace_back(w.window.ids.size(), config.hidden_size);
      run.ends.Embed(w.window.ids, hidden.back().view());
    }
    for (int l = 0; l < config.num_layers; ++l) {
      const LayerParams params = *run.source->LoadLayer(l);
      const auto original = *BuildLayer(config, params);
      const LayerProfile profile = *ProfileLayer(*original, hidden, ProfileOptions{}, one);
      DecoderLayer::Linears linears;
      for (const auto& [id, linear] : params.linears) {
        if (id.role == Role::kRouter) {
          linears[id] = std::make_shared<DenseLinear>(linear.weight, linear.bias);
          EXPECT_EQ(run.solved[l].count(id), 0);
          continue;
        }
        const SolvedLinear s =
            *slots.solve->Solve(id, linear.weight.view(), profile.Of(id), GridSpec{.bits = 3}, CpuOps());
        EXPECT_EQ(run.solved[l].at(id).weight, s.weight) << id.ToString();
        linears[id] = std::make_shared<FakeQuantLinear>(Dequantize(s.weight), linear.bias,
                                                        *ActivationQuantizer::Dynamic(GridSpec{.bits = 4}));
      }
      const auto quantized = *DecoderLayer::Create(config, params, linears);
      for (Matrix& h : hidden) (full ? *original : *quantized).Forward(h.view());
    }
  }
}

// The CPU's, which write down what goes through layers.
class Diary : public QuantizeOps {
 public:
  std::string name() const override { return "diary"; }
  absl::Status ForwardLayer(const DecoderLayer& layer, const CodesOf& codes, absl::Span<Matrix> hidden,
                            absl::Span<LayerObserver* const> observers, ThreadPool& pool) const override {
    int with_codes = 0;
    for (const auto& [id, linear] : layer.linears()) with_codes += codes(id) != nullptr;
    lines.push_back(absl::StrCat("layer ", layer.norms().layer, ": ", hidden.size(), " windows, ", observers.size(),
                                 " watched, ", with_codes, " linears have codes"));
    return CpuOps().ForwardLayer(layer, codes, hidden, observers, pool);
  }
  absl::StatusOr<std::unique_ptr<MomentSum>> Moments(int64_t size) const override { return CpuOps().Moments(size); }
  absl::StatusOr<NearestResult> Nearest(ConstMatrixView w, const GridSpec& s, const GridRange& r) const override {
    return CpuOps().Nearest(w, s, r);
  }
  absl::StatusOr<QuantizedMatrix> OnGrids(ConstMatrixView w, const GridSpec& s,
                                          std::vector<GridParams> grids) const override {
    return CpuOps().OnGrids(w, s, std::move(grids));
  }
  absl::StatusOr<GptqResult> Gptq(ConstMatrixView w, const Hessian& h, const GridSpec& s,
                                  const GptqOptions& options) const override {
    return CpuOps().Gptq(w, h, s, options);
  }
  absl::StatusOr<Matrix> Product(ConstMatrixView x, ConstMatrixView w) const override { return CpuOps().Product(x, w); }
  absl::StatusOr<Matrix> Forward(const DenseLinear& l, ConstMatrixView x) const override {
    return CpuOps().Forward(l, x);
  }
  mutable std::vector<std::string> lines;
};

// Wherever a layer runs, it is the ops that run it: here, profiles and the way on.
TEST(Pipeline, LayersRunOnTheOps) {
  for (const bool full : {false, true}) {
    Recipe recipe = Gptq();
    if (full) recipe.set_propagate(Recipe::FULL_PRECISION);
    const Diary diary;
    Walked run, plain;
    ASSERT_THAT(run.Go(recipe, W3A4(), 2, "", diary), IsOk());
    ASSERT_THAT(plain.Go(recipe, W3A4(), 2, ""), IsOk());
    EXPECT_EQ(run.probe, plain.probe);
    EXPECT_EQ(diary.lines, (std::vector<std::string>{
                               "layer 0: 6 windows, 6 watched, 0 linears have codes",
                               absl::StrCat("layer 0: 6 windows, 0 watched, ", full ? 0 : 28, " linears have codes"),
                               "layer 1: 6 windows, 6 watched, 0 linears have codes"}));
  }
}

TEST(Pipeline, SameBitsForAnyThreadsAndAnyCache) {
  for (const Recipe& recipe : {Gptq(), Smooth()}) {
    const std::string folder = FreshFolder(recipe.transform().empty() ? "cache_gptq" : "cache_smooth");
    Walked one, three, cold, warm;
    ASSERT_THAT(one.Go(recipe, W3A4(), 1, ""), IsOk());
    ASSERT_THAT(three.Go(recipe, W3A4(), 3, ""), IsOk());
    ASSERT_THAT(cold.Go(recipe, W3A4(), 2, folder), IsOk());
    ASSERT_THAT(warm.Go(recipe, W3A4(), 2, folder), IsOk());
    EXPECT_EQ(cold.hits, 0);
    // All stages, and where they are what goes on, full precision's states between the two layers.
    EXPECT_EQ(warm.hits,
              static_cast<int64_t>(warm.report.stages.size()) + (recipe.propagate() == Recipe::FULL_PRECISION ? 1 : 0));
    for (const Walked* other : {&three, &cold, &warm}) {
      EXPECT_EQ(other->probe, one.probe);
      EXPECT_EQ(Hashes(other->report), Hashes(one.report));
    }
  }
}

// Two recipes that differ after the profile share it; whatever could change a result does not.
TEST(Pipeline, RecipesShareOnlyWhatIsTheSame) {
  const std::string folder = FreshFolder("cache_shared");
  Walked first, second, alone;
  ASSERT_THAT(first.Go(Gptq(), W3A4(), 1, folder), IsOk());
  const Recipe other = ParseRecipe("calibration { random {} } solve { gptq { damping: 0.1 } }");
  ASSERT_THAT(second.Go(other, W3A4(), 1, folder), IsOk());
  ASSERT_THAT(alone.Go(other, W3A4(), 1, ""), IsOk());
  EXPECT_EQ(second.hits, 1);  // the profile of layer 0; layer 1 sees what another layer 0 gave
  EXPECT_EQ(Hashes(second.report), Hashes(alone.report));
  Walked static_activations;
  Recipe fixed = Gptq();
  fixed.mutable_activation()->mutable_static_();
  ASSERT_THAT(static_activations.Go(fixed, W3A4(), 1, folder), IsOk());
  EXPECT_EQ(static_activations.hits, 2);  // profile and solution of layer 0; the activations change layer 1's input

  // Transforms that leave the other slots alone serve another router, transforms that may run it do not.
  for (const uint64_t others : {0, 1}) {
    Walked one, two;
    const std::string looking = FreshFolder(absl::StrCat("cache_looking_", others));
    ASSERT_THAT(one.Go(Looking(others, 1.0), W3A4(), 1, looking), IsOk());
    ASSERT_THAT(two.Go(Looking(others, 0.5), W3A4(), 1, looking), IsOk());
    // Of both layers the profile, the transform and the profile after it, which sees the same weights either way; and
    // the states between the layers.
    EXPECT_EQ(two.hits, others == 0 ? 7 : 5);
    EXPECT_NE(Hashes(one.report), Hashes(two.report));
  }
}

// An allocator sees every layer as full precision has it, before anything is rounded; its plan is what is solved.
TEST(Pipeline, AllocatorsSurveyTheFullModel) {
  Recipe recipe = Gptq();
  google::protobuf::UInt32Value bits;
  bits.set_value(6);
  recipe.mutable_allocate()->mutable_external()->PackFrom(bits);
  const std::string folder = FreshFolder("cache_survey");
  Walked one, two, warm;
  ASSERT_THAT(one.Go(recipe, W3A4(), 1, ""), IsOk());
  const auto seen = surveys_seen;
  ASSERT_THAT(two.Go(recipe, W3A4(), 2, folder), IsOk());
  EXPECT_EQ(surveys_seen, seen);
  ASSERT_THAT(warm.Go(recipe, W3A4(), 2, folder), IsOk());
  EXPECT_EQ(surveys_seen, seen);
  EXPECT_EQ(warm.hits, static_cast<int64_t>(warm.report.stages.size()) + 1);  // and the states between the layers
  EXPECT_EQ(Hashes(one.report), Hashes(warm.report));

  const ModelConfig& config = one.source->config();
  std::vector<Matrix> hidden;
  for (const CalibrationWindow& w : one.calibration) {
    hidden.emplace_back(w.window.ids.size(), config.hidden_size);
    one.ends.Embed(w.window.ids, hidden.back().view());
  }
  ASSERT_EQ(static_cast<int64_t>(seen.size()), config.num_layers);
  for (int l = 0; l < config.num_layers; ++l) {
    std::vector<double> expected;
    for (const Matrix& h : hidden) expected.insert(expected.end(), h.data(), h.data() + h.size());
    expected.push_back(6 * 40);
    EXPECT_EQ(seen[l], expected) << l;
    const auto layer = *BuildLayer(config, *one.source->LoadLayer(l));
    for (Matrix& h : hidden) layer->Forward(h.view());
    for (const auto& [id, linear] : one.solved[l]) {
      EXPECT_EQ(linear.weight.grid.bits, id.role == Role::kDown ? 6 : 3) << id.ToString();
    }
  }
}

// One that surveys the whole model at once is a stage as well, cached like the others.
TEST(Pipeline, AllocatorsSurveyTheModelAtOnce) {
  Recipe recipe = Gptq();
  recipe.mutable_allocate()->mutable_gemq()->set_average_bits(2.5);
  const std::string folder = FreshFolder("cache_model_survey");
  Walked one, two, warm;
  ASSERT_THAT(one.Go(recipe, W3A4(), 1, ""), IsOk());
  ASSERT_THAT(two.Go(recipe, W3A4(), 2, folder), IsOk());
  ASSERT_THAT(warm.Go(recipe, W3A4(), 2, folder), IsOk());
  EXPECT_EQ(one.report.stages[0].stage(), "survey");
  EXPECT_EQ(warm.hits, static_cast<int64_t>(warm.report.stages.size()));
  EXPECT_EQ(Hashes(one.report), Hashes(two.report));
  EXPECT_EQ(Hashes(one.report), Hashes(warm.report));
  std::map<int, int> widths;
  for (const SolvedLinears& layer : one.solved) {
    for (const auto& [id, linear] : layer) {
      if (id.role == Role::kGate) ++widths[linear.weight.grid.bits];
    }
  }
  EXPECT_EQ(widths.size(), 3u);
  recipe.mutable_calibration()->mutable_none();
  recipe.mutable_solve()->mutable_nearest();
  Walked without;
  EXPECT_THAT(without.Go(recipe, W3A4(), 1, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("slot allocate needs calibration data")));
}

TEST(Pipeline, SizeIsThatOfTheFileWritten) {
  for (const int group : {0, 16}) {
    Scheme scheme = W3A4();
    if (group > 0) {
      scheme.mutable_weights()->set_granularity(Grid::GROUP);
      scheme.mutable_weights()->set_group_size(group);
    }
    Walked run;
    ASSERT_THAT(run.Go(Gptq(), scheme, 1, ""), IsOk());
    int64_t weights = 0;
    for (const SolvedLinears& layer : run.solved) {
      for (const auto& [id, linear] : layer) weights += linear.weight.rows * linear.weight.cols;
    }
    const std::string path = JoinPath(::testing::TempDir(), "packed.safetensors");
    ASSERT_THAT(WritePackedModel(path, run.packed), IsOk());
    EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(run.report.size.quantized.total_bytes()));
    EXPECT_EQ(run.report.size.parameters(), CountParameters(run.source->config()).total);
    EXPECT_EQ(run.report.size.quantized.weights, weights);
    EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel back, ReadPackedModel(path));
    for (const SolvedLinears& layer : run.solved) {
      for (const auto& [id, linear] : layer) {
        EXPECT_THAT(Unpack(back.linears.at(id.ToString())), IsOkAndHolds(linear.weight));
      }
    }
  }
}

TEST(Pipeline, ReportsErrorsOfEveryLinear) {
  Walked run;
  ASSERT_THAT(run.Go(Gptq(), W3A4(), 1, ""), IsOk());
  EXPECT_EQ(run.report.linears.size(), 2 * (4 + 1 + 3 * 8));
  for (const LinearReport& linear : run.report.linears) {
    if (linear.id().find("router") != std::string::npos) {  // kept, and said so
      EXPECT_EQ(linear.bits(), 16);
      EXPECT_EQ(linear.stored_bits(), 16 * 8 * 32);
      EXPECT_FALSE(linear.has_activation());
      continue;
    }
    EXPECT_EQ(linear.bits(), 3);
    EXPECT_TRUE(linear.has_activation());
    EXPECT_GT(linear.weight_error(), 1e-4) << linear.id();
    EXPECT_LT(linear.weight_error(), 0.3) << linear.id();
    if (linear.calibration_tokens() > 0) {
      EXPECT_GT(linear.output_error(), 0) << linear.id();
      EXPECT_LT(linear.output_error(), 0.3) << linear.id();
    }
  }
  EXPECT_EQ(run.report.linears[0].calibration_tokens(), 6 * 40);  // L0.q
}

TEST(Pipeline, SchemesLeaveOutWhatTheySay) {
  Walked run;
  Scheme experts = W3A4();
  experts.set_quantize_attention(false);
  ASSERT_THAT(run.Go(Gptq(), experts, 1, ""), IsOk());
  EXPECT_EQ(Quantized(run.report), 2 * 3 * 8);
  Scheme activations_only;
  activations_only.mutable_activations()->set_bits(4);
  ASSERT_THAT(run.Go(Gptq(), activations_only, 1, ""), IsOk());
  EXPECT_EQ(Quantized(run.report), 0);
  EXPECT_DOUBLE_EQ(run.report.size.bits_per_parameter(), 16);
  Recipe router = Gptq();
  router.mutable_router()->mutable_quantize();
  ASSERT_THAT(run.Go(router, W3A4(), 1, ""), IsOk());
  EXPECT_EQ(Quantized(run.report), 2 * (4 + 1 + 3 * 8));
  EXPECT_EQ(run.solved[0].at({.layer = 0, .role = Role::kRouter}).weight.grid.bits, 8);
}

TEST(Pipeline, AStageFromOutsideRuns) {
  Walked run;
  const Recipe recipe = ParseRecipe(
      "calibration { none {} } solve { external { [type.googleapis.com/google.protobuf.BoolValue] { value: true } } }");
  run.calibration.clear();
  ASSERT_THAT(run.Go(recipe, W3A4(), 1, ""), IsOk());
  EXPECT_EQ(run.report.linears[5].note(), "from outside");
  EXPECT_FALSE(run.report.linears[5].has_output_error());  // no data, no output
}

// A transform shared by what is rounded and what is not (attention and router, which come first) is stored all the
// same.
TEST(Pipeline, ASharedTransformIsCountedWithTheFirstRoundedLinear) {
  Scheme scheme = W3A4();
  scheme.set_quantize_attention(false);
  Walked run;
  run.calibration.clear();
  ASSERT_THAT(run.Go(ParseRecipe("calibration { none {} } solve { nearest {} } "
                                 "transform { external { [type.googleapis.com/google.protobuf.BytesValue] {} } }"),
                     scheme, 1, ""),
              IsOk());
  EXPECT_EQ(run.report.size.quantized.online_bytes, 2 * (2 * 32));
  const std::string path = JoinPath(::testing::TempDir(), "packed_shared.safetensors");
  ASSERT_THAT(WritePackedModel(path, run.packed), IsOk());
  EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(run.report.size.quantized.total_bytes()));
}

// Online transforms leave the function alone, reach profile, solver and cache, and are counted once per object.
TEST(Pipeline, OnlineTransformsGoAllTheWay) {
  const std::string transform =
      "transform { external { [type.googleapis.com/google.protobuf.Int64Value] { value: 8 } } }";
  const Recipe plain = ParseRecipe("calibration { none {} } solve { nearest {} }");
  const Recipe spun = ParseRecipe(absl::StrCat("calibration { none {} } solve { nearest {} }", transform));
  Scheme nothing;
  Walked before, after;
  before.calibration.clear(), after.calibration.clear();
  ASSERT_THAT(before.Go(plain, nothing, 1, ""), IsOk());
  ASSERT_THAT(after.Go(spun, nothing, 1, ""), IsOk());
  for (size_t l = 0; l < before.probe.size(); ++l) {
    for (int64_t i = 0; i < before.probe[l].size(); ++i) {
      ASSERT_NEAR(after.probe[l].data()[i], before.probe[l].data()[i], 1e-4);
    }
  }
  EXPECT_EQ(after.report.linears[0].online(), "Hadamard 8, permute, rotate 8");
  // Additions of the Hadamard and multiply-adds of the rotation for a row of 32.
  EXPECT_EQ(after.report.linears[0].online_operations(), 32 * 3 + 32 * 8);

  const std::string folder = FreshFolder("cache_spun");
  const Recipe solved = ParseRecipe(absl::StrCat("calibration { random {} } solve { gptq {} }", transform));
  Scheme scheme = W3A4();
  scheme.mutable_attention_operands()->set_bits(4);
  Walked once, cold, warm, free;
  ASSERT_THAT(once.Go(solved, scheme, 1, ""), IsOk());
  ASSERT_THAT(cold.Go(solved, scheme, 2, folder), IsOk());
  ASSERT_THAT(warm.Go(solved, scheme, 2, folder), IsOk());
  EXPECT_EQ(warm.hits, static_cast<int64_t>(warm.report.stages.size()));
  EXPECT_EQ(cold.probe, once.probe);
  EXPECT_EQ(warm.probe, once.probe);
  scheme.clear_attention_operands();
  ASSERT_THAT(free.Go(solved, scheme, 1, ""), IsOk());
  EXPECT_NE(free.probe, once.probe);
  // q, k and v share theirs, o has its own, gate and up of an expert share, down has its own; the router is not
  // quantized. Permutation 2 bytes a channel, rotation 2 bytes an entry.
  const int64_t wide = 2 * 32 + 2 * 64, narrow = 2 * 24 + 2 * 64;
  EXPECT_EQ(once.report.size.quantized.online_bytes, 2 * (2 * wide + 8 * (wide + narrow)));
  // The file holds those bytes and gives the transforms back, shared ones once.
  const std::string path = JoinPath(::testing::TempDir(), "packed_online.safetensors");
  ASSERT_THAT(WritePackedModel(path, once.packed), IsOk());
  EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(once.report.size.quantized.total_bytes()));
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel back, ReadPackedModel(path));
  EXPECT_EQ(back, once.packed);
  EXPECT_EQ(back.transforms.size(), 2 * (2 + 8 * 2));
  EXPECT_EQ(back.OnlineOf("L1.q"), back.OnlineOf("L1.v"));
}

TEST(Pipeline, RecipesThatCannotRunAreRefused) {
  Walked run;
  EXPECT_THAT(run.Go(ParseRecipe("calibration { none {} } solve { gptq {} }"), W3A4(), 1, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("slot solve needs calibration data")));
  EXPECT_THAT(run.Go(ParseRecipe("calibration { random {} }"), W3A4(), 1, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("slot solve: no stage is named")));
  run.calibration.clear();
  EXPECT_THAT(run.Go(Gptq(), W3A4(), 1, ""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no calibration window")));
}

}  // namespace
}  // namespace eaq

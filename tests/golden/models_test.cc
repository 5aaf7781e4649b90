// Tiny published-layout checkpoints against numbers of Hugging Face transformers (../shared/golden/models): embedding,
// router logits, expert choices and weights, hidden states of every layer, final norm, logits, loss.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/json.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/test_shared.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/checkpoint/safetensors.h"
#include "eaq/model/model.h"

namespace eaq {
namespace {

class Golden {
 public:
  explicit Golden(const std::string& folder) {
    file_ = *SafetensorsFile::Open(JoinPath(folder, "golden.safetensors"));
    json_ = *ParseJson(*ReadFile(JoinPath(folder, "golden.json")));
  }
  bool Has(const std::string& name) const { return file_->Find(name) != nullptr; }
  std::vector<float> Floats(const std::string& name) const {
    const TensorInfo* info = file_->Find(name);
    if (info == nullptr) return {};
    std::vector<float> values(info->elements());
    EAQ_EXPECT_OK(BytesToFloats(info->dtype, file_->Bytes(*info), absl::MakeSpan(values)));
    return values;
  }
  std::vector<int32_t> Ids(const std::string& name) const {
    const TensorInfo* info = file_->Find(name);
    if (info == nullptr) return {};
    std::vector<int64_t> wide(info->elements());
    std::memcpy(wide.data(), file_->Bytes(*info).data(), wide.size() * sizeof(int64_t));
    return std::vector<int32_t>(wide.begin(), wide.end());
  }
  double Tolerance(const char* kind) const { return json_["tolerance_abs"][kind].get<double>(); }
  double Loss(const std::string& sequence) const { return json_["loss_float64"][sequence].get<double>(); }

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  Json json_;
};

void ExpectNear(const std::string& what, const std::vector<float>& expected, const float* actual, size_t n,
                double tol) {
  ASSERT_EQ(expected.size(), n) << what;
  double worst = 0;
  for (size_t i = 0; i < n; ++i) {
    const double error = std::abs(static_cast<double>(expected[i]) - actual[i]);
    worst = std::isnan(error) ? 1e30 : std::max(worst, error);
  }
  EXPECT_LE(worst, tol) << what;
}

struct RouterRecord : LayerObserver {
  void OnRouter(int, ConstMatrixView logits, absl::Span<const int32_t> e, absl::Span<const float> w) override {
    router_logits = Matrix(logits);
    experts.assign(e.begin(), e.end());
    weights.assign(w.begin(), w.end());
  }
  Matrix router_logits;
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

class GoldenModel : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenModel, AgreesWithTransformers) {
  EAQ_SHARED_OR_SKIP(folder, absl::StrCat("golden/models/", GetParam()));
  const Golden golden(folder);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, CheckpointSource::Open(folder));
  EXPECT_TRUE(source->unused().empty()) << source->unused()[0];
  EAQ_ASSERT_OK_AND_ASSIGN(const auto model, Model::Load(*source));
  for (const std::string sequence : {"seq0", "seq1"}) {
    const std::vector<int32_t> ids = golden.Ids(sequence + ".input_ids");
    ASSERT_FALSE(ids.empty());
    const int64_t n = static_cast<int64_t>(ids.size());
    Matrix hidden(n, model->config().hidden_size);
    model->ends().Embed(ids, hidden.view());
    ExpectNear("embed", golden.Floats(sequence + ".embed"), hidden.data(), hidden.size(), golden.Tolerance("embed"));
    for (int64_t l = 0; l < model->config().num_layers; ++l) {
      const std::string prefix = absl::StrCat(sequence, ".layer.", l, ".");
      RouterRecord record;
      model->layer(l).Forward(hidden.view(), &record);
      ExpectNear(prefix + "hidden", golden.Floats(prefix + "hidden"), hidden.data(), hidden.size(),
                 golden.Tolerance("hidden"));
      ASSERT_EQ(model->config().IsMoe(l), golden.Has(prefix + "topk_ids"));
      if (!model->config().IsMoe(l)) continue;
      EXPECT_EQ(golden.Ids(prefix + "topk_ids"), record.experts) << prefix;
      ExpectNear(prefix + "router_logits", golden.Floats(prefix + "router_logits"), record.router_logits.data(),
                 record.router_logits.size(), golden.Tolerance("router_logits"));
      ExpectNear(prefix + "topk_weights", golden.Floats(prefix + "topk_weights"), record.weights.data(),
                 record.weights.size(), golden.Tolerance("topk_weights"));
    }
    Matrix normed(n, model->config().hidden_size), logits(n, model->config().vocab_size);
    model->ends().FinalNorm(hidden.view(), normed.view());
    ExpectNear("final_norm", golden.Floats(sequence + ".final_norm"), normed.data(), normed.size(),
               golden.Tolerance("final_norm"));
    model->ends().Logits(hidden.view(), logits.view());
    ExpectNear("logits", golden.Floats(sequence + ".logits"), logits.data(), logits.size(), golden.Tolerance("logits"));
    double loss = 0;
    for (const double logp : model->LogProbs(ids)) loss -= logp / (n - 1);
    EXPECT_NEAR(loss, golden.Loss(sequence), 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel,
                         ::testing::Values("olmoe_a", "olmoe_bf16_a", "olmoe_clip_a", "mixtral_a", "mixtral_bf16_a",
                                           "mixtral_swa_a", "qwen2_moe_a", "qwen2_moe_bf16_a", "qwen2_moe_sparse_a",
                                           "qwen3_moe_a", "qwen3_moe_bf16_a", "qwen3_moe_fused_a",
                                           "qwen3_moe_sharded_a", "deepseek_v1_a", "deepseek_v1_bf16_a", "llama_a",
                                           "llama_bf16_a", "llama_tied_a"),
                         [](const auto& info) { return std::string(info.param); });

TEST(GoldenModels, OtherFamiliesAreRefusedByName) {
  EAQ_SHARED_OR_SKIP(models, "golden/models");
  for (const char* name : {"deepseek_v2_a", "deepseek_v3_a", "gpt_oss_a", "granitemoe_a", "phimoe_a"})
    EXPECT_THAT(
        OpenModel(JoinPath(models, name)),
        StatusIs(absl::StatusCode::kUnimplemented, ::testing::HasSubstr("is not supported; supported are olmoe")))
        << name;
}

}  // namespace
}  // namespace eaq

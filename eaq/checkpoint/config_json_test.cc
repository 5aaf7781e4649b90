#include "eaq/checkpoint/config_json.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::string Json(const std::string& type, const std::string& more = "") {
  return absl::StrCat("{\"model_type\":\"", type,
                      "\",\"vocab_size\":100,\"hidden_size\":32,\"num_hidden_layers\":4,\"num_attention_heads\":4,"
                      "\"intermediate_size\":20",
                      more, "}");
}

TEST(ParseConfigJson, DefaultsAreReported) {
  EAQ_ASSERT_OK_AND_ASSIGN(const ModelConfig c, ParseConfigJson(Json("olmoe")));
  EXPECT_EQ(c.num_experts, 64);
  EXPECT_EQ(c.expert_width, 20);
  EXPECT_EQ(c.qk_norm, QkNorm::kFullWidth);
  EXPECT_THAT(c.defaulted, Contains("num_experts=64"));
  EXPECT_THAT(c.defaulted, Contains("rms_norm_eps=1e-05"));
}

TEST(ParseConfigJson, FamiliesDiffer) {
  EAQ_ASSERT_OK_AND_ASSIGN(const ModelConfig mixtral, ParseConfigJson(Json("mixtral", ",\"num_key_value_heads\":2")));
  EXPECT_TRUE(mixtral.norm_topk_prob);
  EXPECT_EQ(mixtral.rope_theta, 1e6);
  EAQ_ASSERT_OK_AND_ASSIGN(const ModelConfig qwen,
                           ParseConfigJson(Json("qwen3_moe",
                                                ",\"moe_intermediate_size\":16,\"head_dim\":16,\"norm_topk_prob\":true,"
                                                "\"decoder_sparse_step\":2,\"mlp_only_layers\":[3],"
                                                "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7.0}")));
  EXPECT_EQ(qwen.qk_norm, QkNorm::kPerHead);
  EXPECT_EQ(qwen.head_dim, 16);
  EXPECT_EQ(qwen.dense_layers, (std::vector<int64_t>{0, 2, 3}));
  EXPECT_EQ(qwen.rope_theta, 7.0);
  EXPECT_FALSE(qwen.IsMoe(3));
  EXPECT_TRUE(qwen.IsMoe(1));
}

TEST(ParseConfigJson, RefusesWithTheKey) {
  const auto error = [](const std::string& text) { return std::string(ParseConfigJson(text).status().message()); };
  EXPECT_THAT(error("{"), HasSubstr("JSON"));
  EXPECT_THAT(error("[]"), HasSubstr("object"));
  EXPECT_THAT(error("{}"), HasSubstr("model_type"));
  EXPECT_THAT(error(Json("mamba")), HasSubstr("\"mamba\" is not supported"));
  EXPECT_THAT(error("{\"model_type\":\"olmoe\",\"vocab_size\":1}"), HasSubstr("\"hidden_size\" is missing"));
  EXPECT_THAT(error(Json("olmoe", ",\"num_experts\":-1")), HasSubstr("\"num_experts\" is -1"));
  EXPECT_THAT(error(Json("olmoe", ",\"num_experts\":2.5")), HasSubstr("\"num_experts\" is 2.5"));
  EXPECT_THAT(error(Json("olmoe", ",\"num_experts\":18446744073709551617")), HasSubstr("\"num_experts\""));
  EXPECT_THAT(error(Json("olmoe", ",\"num_experts\":18446744073709551615")), HasSubstr("\"num_experts\""));
  EXPECT_THAT(error(Json("olmoe", ",\"num_experts\":5000")), HasSubstr("at most 4096"));
  EXPECT_THAT(error(Json("olmoe", ",\"num_experts\":4")), HasSubstr("exceeds the 4 experts"));
  EXPECT_THAT(error(Json("olmoe", ",\"num_key_value_heads\":3")), HasSubstr("not a multiple"));
  EXPECT_THAT(error(Json("olmoe", ",\"head_dim\":7")), HasSubstr("odd"));
  EXPECT_THAT(error(Json("olmoe", ",\"hidden_act\":\"gelu\"")), HasSubstr("gelu"));
  EXPECT_THAT(error(Json("olmoe", ",\"rope_scaling\":{\"type\":\"yarn\"}")), HasSubstr("yarn"));
  EXPECT_THAT(error(Json("olmoe", ",\"rope_theta\":\"x\"")), HasSubstr("rope_theta"));
  EXPECT_THAT(error(Json("olmoe", ",\"tie_word_embeddings\":1")), HasSubstr("tie_word_embeddings"));
  EXPECT_THAT(error(Json("qwen3_moe", ",\"moe_intermediate_size\":16,\"mlp_only_layers\":[\"x\"]")),
              HasSubstr("mlp_only_layers"));
}

TEST(ParseConfigJson, MutatedTextNeverCrashes) {
  const std::string good = Json("qwen3_moe",
                                ",\"moe_intermediate_size\":16,\"mlp_only_layers\":[3],"
                                "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0}");
  EAQ_ASSERT_OK(ParseConfigJson(good));
  int refused = 0;
  for (size_t at = 0; at < good.size(); ++at)
    for (const char byte : {'\0', '"', '{', '[', '}', ',', '0', '9', '-', '.', 'e', '\xff'}) {
      std::string text = good;
      text[at] = byte;
      refused += !ParseConfigJson(text).ok();
    }
  EXPECT_GT(refused, 1000);
}

TEST(WriteConfigJson, ReadsBack) {
  EAQ_ASSERT_OK_AND_ASSIGN(ModelConfig c, ParseConfigJson(Json("olmoe", ",\"num_experts\":16,\"clip_qkv\":2.5")));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, WriteConfigJson(c, "bfloat16"));
  EAQ_ASSERT_OK_AND_ASSIGN(const ModelConfig d, ParseConfigJson(text));
  EXPECT_TRUE(d.defaulted.empty()) << d.defaulted[0];
  EXPECT_EQ(d.num_experts, 16);
  EXPECT_EQ(d.clip_qkv, 2.5);
  EXPECT_EQ(d.rms_norm_eps, c.rms_norm_eps);
  EXPECT_EQ(d.max_position_embeddings, c.max_position_embeddings);
  c.model_type = "qwen2_moe";
  EXPECT_FALSE(WriteConfigJson(c, "float32").ok());
}

TEST(WriteConfigJson, OtherFamiliesReadBack) {
  ModelConfig mixtral;
  mixtral.model_type = "mixtral";
  mixtral.vocab_size = 64, mixtral.hidden_size = 32, mixtral.num_layers = 3, mixtral.num_heads = 4;
  mixtral.num_kv_heads = 2, mixtral.head_dim = 8, mixtral.num_experts = 8, mixtral.experts_per_token = 2;
  mixtral.expert_width = 24, mixtral.norm_topk_prob = true, mixtral.max_position_embeddings = 128;
  mixtral.tie_word_embeddings = true;
  ModelConfig deepseek = mixtral;
  deepseek.model_type = "deepseek", deepseek.num_kv_heads = 4, deepseek.norm_topk_prob = false;
  deepseek.dense_layers = {0}, deepseek.dense_width = 80, deepseek.shared_width = 48;
  deepseek.shared_expert_gated = false;
  for (const ModelConfig& c : {mixtral, deepseek}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, WriteConfigJson(c, "bfloat16"));
    EAQ_ASSERT_OK_AND_ASSIGN(const ModelConfig d, ParseConfigJson(text));
    EXPECT_TRUE(d.defaulted.empty()) << d.defaulted[0];
    EXPECT_EQ(d.num_kv_heads, c.num_kv_heads);
    EXPECT_EQ(d.num_experts, c.num_experts);
    EXPECT_EQ(d.expert_width, c.expert_width);
    EXPECT_EQ(d.dense_layers, c.dense_layers);
    EXPECT_EQ(d.dense_width, c.dense_width);
    EXPECT_EQ(d.shared_width, c.shared_width);
    EXPECT_EQ(d.norm_topk_prob, c.norm_topk_prob);
    EXPECT_EQ(d.tie_word_embeddings, c.tie_word_embeddings);
    if (c.shared_width > 0) {
      EXPECT_FALSE(d.shared_expert_gated);
    }
  }
}

}  // namespace
}  // namespace eaq

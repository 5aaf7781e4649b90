#include "eaq/checkpoint/model_source.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/test_shared.h"
#include "eaq/checkpoint/safetensors_writer.h"
#include "eaq/checkpoint/save_model.h"
#include "eaq/model/synthetic.h"
#include "eaq/tensor/bf16.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::vector<LayerParams> Layers(const ModelConfig& config) {
  std::vector<LayerParams> layers;
  for (int l = 0; l < config.num_layers; ++l) layers.push_back(RandomLayer(config, l, 9));
  return layers;
}

std::string Saved(const std::string& name, DType dtype) {
  const std::string folder = JoinPath(::testing::TempDir(), name);
  EAQ_EXPECT_OK(SaveModel(folder, TinyConfig(), Layers(TinyConfig()), RandomOuter(TinyConfig(), 9), dtype));
  return folder;
}

TEST(OpenModel, ReadsBackWhatWasSaved) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, OpenModel(Saved("f32", DType::kF32)));
  for (int l = 0; l < 2; ++l) {
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerParams found, source->LoadLayer(l));
    const LayerParams expected = RandomLayer(TinyConfig(), l, 9);
    EXPECT_EQ(found.q_norm, expected.q_norm);
    ASSERT_EQ(found.linears.size(), expected.linears.size());
    for (const auto& [id, linear] : expected.linears) EXPECT_EQ(found.linears.at(id).weight, linear.weight);
  }
  EAQ_ASSERT_OK_AND_ASSIGN(const OuterParams outer, source->LoadOuter());
  EXPECT_EQ(outer.head, RandomOuter(TinyConfig(), 9).head);
  EXPECT_FALSE(source->LoadLayer(2).ok());
  EXPECT_FALSE(source->LoadLayer(-1).ok());
}

TEST(OpenModel, Bf16IsRoundedOnce) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto source, OpenModel(Saved("bf16", DType::kBF16)));
  EAQ_ASSERT_OK_AND_ASSIGN(const LayerParams layer, source->LoadLayer(0));
  const LayerParams exact = RandomLayer(TinyConfig(), 0, 9);
  const LinearId id{0, Role::kUp, 3};
  for (int64_t i = 0; i < exact.linears.at(id).weight.size(); ++i)
    ASSERT_EQ(layer.linears.at(id).weight.data()[i], Bf16ToFloat(FloatToBf16(exact.linears.at(id).weight.data()[i])));
}

TEST(OpenModel, HashIsTheContents) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto a, OpenModel(Saved("hash_a", DType::kF32)));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto b, OpenModel(Saved("hash_b", DType::kF32)));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto c, OpenModel(Saved("hash_c", DType::kBF16)));
  EXPECT_EQ(a->hash().size(), 64);
  EXPECT_EQ(a->hash(), b->hash());
  EXPECT_NE(a->hash(), c->hash());
  const std::string path = JoinPath(Saved("hash_d", DType::kF32), "config.json");
  EAQ_ASSERT_OK_AND_ASSIGN(std::string config, ReadFile(path));
  config.replace(config.find("10000"), 5, "10001");  // rope_theta
  EAQ_ASSERT_OK(WriteFileAtomic(path, config));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto d, OpenModel(Dirname(path)));
  EXPECT_NE(a->hash(), d->hash());
}

TEST(OpenModel, SavingTwiceGivesTheSameBytes) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string a,
                           ReadFile(JoinPath(Saved("twice_a", DType::kBF16), "model.safetensors")));
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string b,
                           ReadFile(JoinPath(Saved("twice_b", DType::kBF16), "model.safetensors")));
  EXPECT_EQ(a, b);
}

TEST(OpenModel, SaysWhatDoesNotFit) {
  const std::string folder = Saved("unfit", DType::kF32);
  const std::string path = JoinPath(folder, "config.json");
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string config, ReadFile(path));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = config;
    text.replace(text.find(from), from.size(), to);
    EAQ_EXPECT_OK(WriteFileAtomic(path, text));
    return OpenModel(folder).status();
  };
  EXPECT_THAT(with("\"intermediate_size\": 24", "\"intermediate_size\": 25"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[24, 32]; config.json asks for [25, 32]")));
  EXPECT_THAT(with("\"num_experts\": 8", "\"num_experts\": 9").message(), HasSubstr("config.json asks for [9, 32]"));
  EXPECT_THAT(with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3").message(), HasSubstr("is missing"));
  EXPECT_THAT(with("{", "").message(), HasSubstr(path));
  EAQ_ASSERT_OK(RemoveFile(path));
  EXPECT_THAT(OpenModel(folder).status().message(), HasSubstr("config.json"));
  EXPECT_FALSE(OpenModel("/nowhere").ok());
}

TEST(SaveModel, RefusesWhatItCannotWrite) {
  std::vector<LayerParams> layers = Layers(TinyConfig());
  const OuterParams outer = RandomOuter(TinyConfig(), 9);
  const std::string folder = JoinPath(::testing::TempDir(), "refused");
  EXPECT_FALSE(SaveModel(folder, TinyConfig(), layers, outer, DType::kI8).ok());
  EXPECT_FALSE(SaveModel(folder, TinyConfig(), absl::MakeConstSpan(layers).subspan(1), outer, DType::kF32).ok());
  layers[1].linears.erase({1, Role::kDown, 2});
  EXPECT_THAT(SaveModel(folder, TinyConfig(), layers, outer, DType::kF32).message(),
              HasSubstr("L1.e2.down is missing"));
  EXPECT_FALSE(FileExists(folder));
}

// The folders of the team's malformed corpus.
TEST(Golden, EveryFolderGetsItsVerdict) {
  EAQ_SHARED_OR_SKIP(table, "golden/malformed/expect.tsv");
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(table));
  int folders = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() != 3 || !IsDirectory(JoinPath(Dirname(table), fields[0]))) continue;
    const auto model = OpenModel(JoinPath(Dirname(table), fields[0]));
    EXPECT_EQ(model.ok(), fields[1] == "accept") << line << ": " << model.status();
    if (!model.ok()) {
      EXPECT_THAT(model.status().message(), HasSubstr(fields[0]));
    }
    ++folders;
  }
  EXPECT_EQ(folders, 8);
}

}  // namespace
}  // namespace eaq

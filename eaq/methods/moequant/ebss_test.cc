// EBSS as slot 1 of a recipe.
#include <google/protobuf/text_format.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"
#include "eaq/proto/recipe.pb.h"
#include "eaq/recipe/calibrate.h"
#include "eaq/text/bpe_train.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 270;

class EbssTest : public ::testing::Test {
 protected:
  EbssTest() : pool_(2) {
    tokenizer_ = *Tokenizer::Parse(*TrainByteLevelBpe({"ab ab"}, {.vocab_size = kVocabulary}, &pool_));
    ModelConfig config = TinyConfig();
    config.vocab_size = kVocabulary;  // more than the tokenizer has
    source_ = RandomModel(config, 1);
    data_.set_windows(24);
    data_.set_window(20);
  }
  absl::StatusOr<std::vector<CalibrationWindow>> Write(const std::string& options) {
    CalibrationStage slot;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(absl::StrCat("ebss {", options, "}"), &slot));
    const auto stage = MakeStage<CalibrationSlot>(slot, "calibration");
    if (!stage.ok()) return stage.status();
    return ChooseCalibration(
        **stage, data_,
        [](const CorpusRef& ref) -> absl::StatusOr<std::shared_ptr<const Corpus>> {
          return absl::InternalError("no text is to be read");
        },
        *tokenizer_, *source_, pool_);
  }

  ThreadPool pool_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ModelSource> source_;
  CalibrationData data_;
};

TEST_F(EbssTest, WritesWindowsOfTextWithoutReadingAny) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto windows, Write(""));
  ASSERT_EQ(windows.size(), 24);
  const int32_t end_of_text = tokenizer_->TokenId("<|endoftext|>");
  ASSERT_GE(end_of_text, 0);
  ASSERT_LT(tokenizer_->vocab_size(), kVocabulary);
  std::set<int32_t> first;
  std::set<std::string> documents;
  for (const CalibrationWindow& w : windows) {
    ASSERT_EQ(w.window.ids.size(), 20);
    first.insert(w.window.ids[0]);
    documents.insert(w.window.document);
    for (const int32_t id : w.window.ids) {
      EXPECT_NE(id, end_of_text);
      EXPECT_LT(id, tokenizer_->vocab_size());
    }
  }
  EXPECT_EQ(first.size(), 24);
  EXPECT_EQ(documents.size(), 24);
}

TEST_F(EbssTest, SeedAndOptionsChoose) {
  const auto ids = [&](const std::string& options) {
    std::vector<std::vector<int32_t>> all;
    const auto windows = Write(options);
    EXPECT_THAT(windows.status(), IsOk());
    for (const CalibrationWindow& w : *windows) all.push_back(w.window.ids);
    return all;
  };
  const auto plain = ids("");
  EXPECT_EQ(ids("tau: 1.2 beams: 4 sigma: TOKENS warm_up: GREEDY warm_up_min: 3 warm_up_max: 6"), plain);
  for (const char* other : {"tau: 0.05", "beams: 2", "tau: 0.05 sigma: ASSIGNMENTS", "warm_up: SAMPLED",
                            "warm_up_min: 6", "warm_up_max: 4"}) {
    EXPECT_NE(ids(other), plain) << other;
  }
  EXPECT_NE(ids("tau: 0.05 sigma: ASSIGNMENTS"), ids("tau: 0.05"));
  EXPECT_EQ(ids("tau: inf"), ids("tau: 1e9"));
  data_.set_seed(1);
  EXPECT_NE(ids(""), plain);
}

TEST_F(EbssTest, SaysWhatIsWrong) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Write("tau: -1"), StatusIs(kInvalid, HasSubstr("ebss: tau is -1")));
  EXPECT_THAT(Write("warm_up_max: 2"), StatusIs(kInvalid, HasSubstr("warm_up_max 2")));
  data_.set_windows(400);
  EXPECT_THAT(Write(""), StatusIs(kInvalid, HasSubstr("ask for fewer")));
}

}  // namespace
}  // namespace eaq

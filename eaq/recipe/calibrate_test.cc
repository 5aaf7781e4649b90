#include "eaq/recipe/calibrate.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/head.h"
#include "eaq/model/layer.h"
#include "eaq/model/synthetic.h"
#include "eaq/text/bpe_train.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 270;

Corpus MakeCorpus(const std::string& name) {
  Corpus corpus;
  corpus.name = name;
  for (int d = 0; d < 12; ++d) {
    std::string text;
    Rng rng(d, absl::StrCat("calibrate_test/", name));
    for (int i = 0; i < 300; ++i) text += static_cast<char>('a' + rng.Below(26));
    corpus.documents.push_back({absl::StrCat("d", d), text, d < 8 ? Split::kCalibration : Split::kTrain});
  }
  return corpus;
}

class CalibrateTest : public ::testing::Test {
 protected:
  CalibrateTest() : pool_(2) {
    tokenizer_ = *Tokenizer::Parse(*TrainByteLevelBpe({"ab ab"}, {.vocab_size = kVocabulary}, &pool_));
    ModelConfig config = TinyConfig();
    config.vocab_size = kVocabulary;
    source_ = RandomModel(config, 1);
    data_.add_domain()->set_name("one");
    data_.add_domain()->set_name("two");
    data_.set_windows(8);
    data_.set_window(20);
  }
  absl::StatusOr<std::vector<CalibrationWindow>> Choose(const CalibrationStage& slot) {
    EXPECT_THAT(MakeStage<CalibrationSlot>(slot, "calibration").status(), IsOk());
    const auto stage = *MakeStage<CalibrationSlot>(slot, "calibration");
    return ChooseCalibration(
        *stage, data_,
        [](const CorpusRef& ref) -> absl::StatusOr<std::shared_ptr<const Corpus>> {
          return std::make_shared<const Corpus>(MakeCorpus(ref.name()));
        },
        *tokenizer_, *source_, pool_);
  }
  static CalibrationStage Random() {
    CalibrationStage slot;
    slot.mutable_random();
    return slot;
  }
  static std::multiset<std::vector<int32_t>> Ids(const std::vector<CalibrationWindow>& windows) {
    std::multiset<std::vector<int32_t>> ids;
    for (const CalibrationWindow& w : windows) ids.insert(w.window.ids);
    return ids;
  }

  ThreadPool pool_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ModelSource> source_;
  CalibrationData data_;
};

TEST_F(CalibrateTest, DomainsShareEquallyAndOnlyTheirCalibrationSplit) {
  data_.set_windows(7);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto windows, Choose(Random()));
  std::map<std::string, int> count;
  for (const CalibrationWindow& w : windows) {
    ++count[w.domain];
    EXPECT_EQ(w.window.ids.size(), 20);
    EXPECT_LT(std::stoi(w.window.document.substr(w.window.document.find("/d") + 2)), 8) << w.window.document;
  }
  EXPECT_EQ(count["one"], 4);
  EXPECT_EQ(count["two"], 3);
  EXPECT_EQ(Ids(windows).size(), 7);
}

TEST_F(CalibrateTest, TheSeedChoosesAndNothingElse) {
  EAQ_ASSERT_OK_AND_ASSIGN(const auto first, Choose(Random()));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto again, Choose(Random()));
  data_.set_seed(1);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto other, Choose(Random()));
  EXPECT_EQ(Ids(first), Ids(again));
  EXPECT_NE(Ids(first), Ids(other));
}

// The balanced choice leaves the least used experts with more tokens than the random one does.
TEST_F(CalibrateTest, BalancedServesTheLeastUsedExperts) {
  const auto least = [&](const std::vector<CalibrationWindow>& windows) {
    const ModelConfig& config = source_->config();
    const ModelEnds ends(config, *source_->LoadOuter());
    std::vector<int> use(config.num_experts, 0);
    class Counter : public LayerObserver {
     public:
      explicit Counter(std::vector<int>* use) : use_(use) {}
      void OnRouter(int, ConstMatrixView, absl::Span<const int32_t> experts, absl::Span<const float>) override {
        for (const int32_t e : experts) ++(*use_)[e];
      }

     private:
      std::vector<int>* use_;
    } counter(&use);
    const auto layer = *BuildLayer(config, *source_->LoadLayer(0));
    for (const CalibrationWindow& w : windows) {
      Matrix hidden(w.window.ids.size(), config.hidden_size);
      ends.Embed(w.window.ids, hidden.view());
      layer->Forward(hidden.view(), &counter);
    }
    return *std::min_element(use.begin(), use.end());
  };
  CalibrationStage balanced;
  balanced.mutable_balanced()->set_pool_factor(8);
  EAQ_ASSERT_OK_AND_ASSIGN(const auto random, Choose(Random()));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto chosen, Choose(balanced));
  EXPECT_EQ(chosen.size(), 8);
  EXPECT_GT(least(chosen), least(random));
}

TEST_F(CalibrateTest, TooLittleTextIsSaid) {
  data_.set_windows(5000);
  EXPECT_THAT(Choose(Random()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("windows of 20 tokens in its calibration split")));
  data_.clear_domain();
  EXPECT_THAT(Choose(Random()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no domain")));
}

}  // namespace
}  // namespace eaq

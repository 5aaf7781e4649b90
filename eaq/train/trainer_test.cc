#include "eaq/train/trainer.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

TrainSpec Spec() {
  TrainSpec spec;
  ModelConfig& c = spec.model;
  c.vocab_size = 16, c.hidden_size = 16, c.num_layers = 2, c.num_heads = c.num_kv_heads = 2, c.head_dim = 8;
  c.num_experts = 4, c.experts_per_token = 2, c.expert_width = 16, c.norm_topk_prob = true;
  c.qk_norm = QkNorm::kFullWidth, c.tie_word_embeddings = true;
  spec.steps = 200, spec.warmup = 5, spec.windows_per_step = 8, spec.shards = 4, spec.context = 16;
  spec.checkpoint_every = 7;
  return spec;
}

std::vector<TrainStream> Streams() {
  std::vector<TrainStream> streams(2);
  for (int i = 0; i < 400; ++i) streams[0].ids.push_back(i % 5), streams[1].ids.push_back(5 + i * i % 11);
  streams[1].weight = 2;
  return streams;
}

Buffer<float> Train(const TrainSpec& spec, int threads, const std::string& state, double* last = nullptr) {
  ThreadPool pool(threads);
  Buffer<float> params;
  const absl::Status status = RunTraining(
      spec, Streams(), state, &pool,
      [&](const TrainProgress& p) {
        if (last) *last = p.loss.nll;
      },
      &params);
  EXPECT_TRUE(status.ok()) << status;
  return params;
}

TEST(Trainer, LearnsAndDoesNotDependOnTheThreads) {
  double nll = 99;
  const Buffer<float> one = Train(Spec(), 1, "", &nll);
  EXPECT_LT(nll, 1.0);  // log 16 = 2.77 at the start; the text is periodic
  EXPECT_TRUE(one == Train(Spec(), 3, ""));
}

TEST(Trainer, ResumesWithTheSameBits) {
  const std::string state = absl::StrCat(testing::TempDir(), "/state");
  TrainSpec part = Spec();
  part.stop_after = 23;
  const Buffer<float> early = Train(part, 2, state);
  const Buffer<float> whole = Train(Spec(), 2, "");
  EXPECT_FALSE(early == whole);
  EXPECT_TRUE(Train(Spec(), 1, state) == whole);
}

TEST(Trainer, RejectsBadInput) {
  ThreadPool pool(1);
  Buffer<float> params;
  std::vector<TrainStream> streams = Streams();
  streams[0].ids[3] = 16;
  EXPECT_FALSE(RunTraining(Spec(), streams, "", &pool, nullptr, &params).ok());
  EXPECT_FALSE(RunTraining(Spec(), {}, "", &pool, nullptr, &params).ok());
  const std::string state = absl::StrCat(testing::TempDir(), "/foreign");
  ASSERT_TRUE(WriteFileAtomic(state, "not a state").ok());
  EXPECT_FALSE(RunTraining(Spec(), Streams(), state, &pool, nullptr, &params).ok());
}

}  // namespace
}  // namespace eaq

// For tests of tasks: a tokenizer of bytes, made-up scores, metrics by name.
#ifndef EAQ_EVAL_CHOICE_TESTING_H_
#define EAQ_EVAL_CHOICE_TESTING_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "eaq/eval/choice_trace.h"
#include "eaq/proto/trial.pb.h"
#include "eaq/text/bpe_train.h"
#include "eaq/text/tokenizer.h"

namespace eaq {

// The 256 bytes and, as id 256, <|endoftext|>.
inline std::shared_ptr<const Tokenizer> ByteTokenizer() {
  ThreadPool pool(1);
  return *Tokenizer::Parse(*TrainByteLevelBpe({"ab"}, {.vocab_size = 257}, &pool));
}

// Candidates of these log-likelihoods, none of them greedy.
inline std::vector<ChoiceScore> MadeUpScores(const std::vector<double>& log_likelihoods) {
  std::vector<ChoiceScore> scores;
  for (const double v : log_likelihoods) scores.push_back({v, false});
  return scores;
}

// By "name domain", each of which must occur once.
inline std::map<std::string, double> MetricsOf(const TrialResult& result) {
  std::map<std::string, double> out;
  for (const Metric& m : result.metric()) {
    EXPECT_TRUE(out.emplace(absl::StrCat(m.name(), " ", m.domain()), m.value()).second) << m.name();
  }
  return out;
}

}  // namespace eaq

#endif  // EAQ_EVAL_CHOICE_TESTING_H_

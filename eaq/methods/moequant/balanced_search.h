// EBSS: texts that a model writes itself, by a beam search that prefers beams which use the experts evenly (MoEQuant,
// ICML 2025, section 3.2; specs/moequant.md, section 3).
//
//   score of beam S followed by token v = -(R_S + log p(v | S)) / (|S| + 1) + sigma(S) / tau      the smallest are kept
//
// R_S: sum of log p over S without its first token, which is drawn and not predicted. sigma(S): how unevenly the tokens
// of S use the experts (recipe/calibration_statistics.h), counted for every beam as it grows. v is not in it (the
// paper's "deferred" term), so it shifts whole beams against each other: for the price of a beam search.
#ifndef EAQ_METHODS_MOEQUANT_BALANCED_SEARCH_H_
#define EAQ_METHODS_MOEQUANT_BALANCED_SEARCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/model.h"
#include "eaq/recipe/calibration_statistics.h"

namespace eaq::moequant {

struct SearchOptions {
  double tau = 1.2;  // infinity: a plain beam search
  int beams = 4;
  ImbalanceForm sigma = ImbalanceForm::kTokens;
  bool sampled_warm_up = false;          // tokens before the search: drawn by their probability; else the most probable
  int warm_up_min = 3, warm_up_max = 6;  // how many there are, the first one included: uniform
};

// InvalidArgument names the option that is out of its range.
absl::Status CheckSearch(const SearchOptions& options);

struct WrittenText {
  std::vector<int32_t> ids;
  double log_prob = 0;          // of all ids but the first, natural logarithm
  double score = 0;             // -log_prob / |ids| + sigma(ids) / tau, by which this beam was the best
  std::vector<int32_t> counts;  // [layers * experts] how many of the ids chose the expert
};

// COUNT texts of LENGTH tokens. Their first tokens are drawn without replacement. BANNED[vocab_size]: not 0 for tokens
// that never appear; probabilities are those of the whole vocabulary all the same. Ties go to the better beam of
// before, then to the lower token. Sequences are searched 16 at a time, side by side in one batch, whatever the number
// of threads: the same bits for any. InvalidArgument: bad options or sizes, or fewer tokens than texts. DataLoss: the
// model's logits are not finite.
absl::StatusOr<std::vector<WrittenText>> WriteTexts(const Model& model, const SearchOptions& options,
                                                    absl::Span<const char> banned, int64_t count, int64_t length,
                                                    uint64_t seed, ThreadPool& pool);

}  // namespace eaq::moequant

#endif  // EAQ_METHODS_MOEQUANT_BALANCED_SEARCH_H_
